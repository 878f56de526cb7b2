#!/bin/sh
# Stops azd before anything is created where the plan of the app does not exist: in some regions, and
# in a national cloud that has no Flex Consumption.
set -eu

# As Azure compares names: without spaces, in lower case.
plain() {
    tr -d ' \r' | tr '[:upper:]' '[:lower:]'
}

# `azd up` asks for subscription and region before this; `azd provision` alone does after it.
subscription=${AZURE_SUBSCRIPTION_ID:-}
location=$(printf '%s' "${AZURE_LOCATION:-}" | plain)

if ! regions=$(az functionapp list-flexconsumption-locations \
    ${subscription:+--subscription "$subscription"} --query "[].name" --output tsv); then
    echo "The regions of the Flex Consumption plan cannot be listed: see the error above. Sign in with: az login" >&2
    echo "A national cloud that answers with an error here does not offer the plan. Nothing was created." >&2
    exit 1
fi
regions=$(printf '%s\n' "$regions" | plain | sort)
if [ -z "$regions" ]; then
    echo "This cloud does not offer the Flex Consumption plan, which the app needs. Nothing was created." >&2
    exit 1
fi
if [ -z "$location" ]; then
    echo "No region is set, so it cannot be checked. Nothing was created." >&2
    echo "Run azd up, or set it first: azd env set AZURE_LOCATION REGION, with one of:" >&2
    printf '%s\n' "$regions" >&2
    exit 1
fi
if ! printf '%s\n' "$regions" | grep -Fqx "$location"; then
    echo "The region $location does not offer the Flex Consumption plan, which the app needs. Nothing was created." >&2
    echo "Choose another by: azd env set AZURE_LOCATION REGION, with one of:" >&2
    printf '%s\n' "$regions" >&2
    exit 1
fi
