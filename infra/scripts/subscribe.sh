#!/bin/sh
# Subscribes the app to its events, after a deployment; azd runs it, and it may be run again.
# The webhook's key appears some time after the code does, and roles take up to ten minutes: hence the tries.
set -eu
cd "$(dirname "$0")/.."

tries=20
while ! said=$(az deployment group create --output none \
    --subscription "$AZURE_SUBSCRIPTION_ID" \
    --resource-group "$RESOURCE_GROUP" \
    --name blob-to-outlook-subscriptions \
    --template-file subscriptions.bicep \
    --parameters \
        functionAppName="$FUNCTION_APP_NAME" \
        systemTopicName="$SYSTEM_TOPIC_NAME" \
        sourceContainer="$SOURCE_CONTAINER" \
        hostAccountName="$HOST_ACCOUNT_NAME" \
        deadLetterContainer="$DEAD_LETTER_CONTAINER" \
        eventTopicName="${EVENT_TOPIC_NAME:-}" 2>&1); do
    # An error about the webhook can name it with its key.
    printf '%s\n' "$said" | sed 's/code=[^&" ]*/code=.../g' >&2
    tries=$((tries - 1))
    if [ "$tries" -eq 0 ]; then
        echo "Event Grid does not reach the app yet. Look at the error above, then run: azd hooks run postdeploy" >&2
        exit 1
    fi
    echo "The app is not ready for events yet; trying again in 30 seconds." >&2
    sleep 30
done
echo "New blobs in $SOURCE_CONTAINER are transferred from now on."
