# As check-region.sh, for Windows.
$ErrorActionPreference = 'Stop'

# `azd up` asks for subscription and region before this; `azd provision` alone does after it.
$location = ("$env:AZURE_LOCATION" -replace '\s').ToLowerInvariant()
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
if (-not $location) {
    Write-Error ('No region is set, so it cannot be checked. Nothing was created. Run azd up, or set it first: ' +
        'azd env set AZURE_LOCATION REGION, with one of: ' + ($regions -join ', '))
}
if ($location -notin $regions) {
    Write-Error ("The region $location does not offer the Flex Consumption plan, which the app needs. " +
        'Nothing was created. Choose another by: azd env set AZURE_LOCATION REGION, with one of: ' +
        ($regions -join ', '))
}
