# As subscribe.sh, for Windows. The webhook's key appears some time after the code does, and roles take
# up to ten minutes: hence the tries.
$ErrorActionPreference = 'Stop'
Set-Location (Split-Path $PSScriptRoot)

for ($tries = 20; $tries -gt 0; $tries--) {
    $said = az deployment group create --output none `
        --subscription $env:AZURE_SUBSCRIPTION_ID `
        --resource-group $env:RESOURCE_GROUP `
        --name blob-to-outlook-subscriptions `
        --template-file subscriptions.bicep `
        --parameters `
            functionAppName=$env:FUNCTION_APP_NAME `
            systemTopicName=$env:SYSTEM_TOPIC_NAME `
            sourceContainer=$env:SOURCE_CONTAINER `
            hostAccountName=$env:HOST_ACCOUNT_NAME `
            deadLetterContainer=$env:DEAD_LETTER_CONTAINER `
            eventTopicName=$env:EVENT_TOPIC_NAME 2>&1
    if ($LASTEXITCODE -eq 0) {
        Write-Host "New blobs in $env:SOURCE_CONTAINER are transferred from now on."
        exit 0
    }
    # An error about the webhook can name it with its key.
    Write-Warning (($said -join "`n") -replace 'code=[^&" ]*', 'code=...')
    if ($tries -gt 1) {
        Write-Warning 'The app is not ready for events yet; trying again in 30 seconds.'
        Start-Sleep -Seconds 30
    }
}
Write-Error 'Event Grid does not reach the app yet. Look at the error above, then run: azd hooks run postdeploy'
