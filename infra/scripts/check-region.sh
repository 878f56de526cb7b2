#!/bin/sh
# Stops azd before anything is created where the plan of the app does not exist: in some regions, and
# in a national cloud that has no Flex Consumption.
set -eu

# azd asks for subscription and location itself, if they are not set yet.
subscription=${AZURE_SUBSCRIPTION_ID:-}
location=${AZURE_LOCATION:-}

if ! regions=$(az functionapp list-flexconsumption-locations \
    ${subscription:+--subscription "$subscription"} --query "[].name" --output tsv); then
    echo "The regions of the Flex Consumption plan cannot be listed: see the error above. Sign in with: az login" >&2
    echo "A national cloud that answers with an error here does not offer the plan. Nothing was created." >&2
    exit 1
fi
regions=$(printf '%s\n' "$regions" | tr -d ' \r' | tr '[:upper:]' '[:lower:]' | sort)
if [ -z "$regions" ]; then
    echo "This cloud does not offer the Flex Consumption plan, which the app needs. Nothing was created." >&2
    exit 1
fi
if [ -n "$location" ] && ! printf '%s\n' "$regions" | grep -qx "$location"; then
    echo "The region $location does not offer the Flex Consumption plan, which the app needs. Nothing was created." >&2
    echo "Choose another by: azd env set AZURE_LOCATION REGION, with one of:" >&2
    printf '%s\n' "$regions" >&2
    exit 1
fi
