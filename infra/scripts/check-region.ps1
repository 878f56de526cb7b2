# As check-region.sh, for Windows.
$ErrorActionPreference = 'Stop'

# azd asks for subscription and location itself, if they are not set yet.
$location = $env:AZURE_LOCATION
$where = @(if ($env:AZURE_SUBSCRIPTION_ID) { '--subscription', $env:AZURE_SUBSCRIPTION_ID })

$regions = az functionapp list-flexconsumption-locations @where --query '[].name' --output tsv
if ($LASTEXITCODE -ne 0) {
    Write-Error ('The regions of the Flex Consumption plan cannot be listed: see the error above. ' +
        'Sign in with: az login. A national cloud that answers with an error here does not offer the plan. ' +
        'Nothing was created.')
}
$regions = @($regions | Where-Object { $_ } | ForEach-Object { ($_ -replace '\s').ToLowerInvariant() } | Sort-Object)
if (-not $regions) {
    Write-Error 'This cloud does not offer the Flex Consumption plan, which the app needs. Nothing was created.'
}
if ($location -and $location -notin $regions) {
    Write-Error ("The region $location does not offer the Flex Consumption plan, which the app needs. " +
        'Nothing was created. Choose another by: azd env set AZURE_LOCATION REGION, with one of: ' +
        ($regions -join ', '))
}
