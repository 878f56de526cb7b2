<#
.SYNOPSIS
Shows what the app's identity may do now: in Exchange Online for a mailbox, and in Microsoft Graph for all.
.DESCRIPTION
Changes nothing. Fails when both ways are in use: what Graph grants is good for every mailbox of the
tenant, even outside the scope in Exchange.
.EXAMPLE
pwsh infra/scripts/show-permissions.ps1 -Mailbox scans@contoso.com
#>
param(
    [Parameter(Mandatory)]
    [string] $Mailbox,

    [string] $ClientId = (azd env get-value IDENTITY_CLIENT_ID),
    [string] $PrincipalId = (azd env get-value IDENTITY_PRINCIPAL_ID)
)
$ErrorActionPreference = 'Stop'

# From graph-role.bicep; other roles of the identity are not this app's matter.
$ours = @{
    'e2a3a72e-5f79-4c64-b1b1-878b674786c9' = 'Mail.ReadWrite'
    'ef54d2bf-783f-4e0f-bca1-3210c0442d99' = 'Calendars.ReadWrite'
}

$graph = (az cloud show --query endpoints.microsoftGraphResourceId --output tsv).TrimEnd('/')
$answer = az rest --output json --url "$graph/v1.0/servicePrincipals/$PrincipalId/appRoleAssignments"
if ($LASTEXITCODE -ne 0) {
    throw 'The roles of the identity cannot be read. Sign in by: az login'
}
$everywhere = @(($answer | ConvertFrom-Json).value | Where-Object { $_ } | ForEach-Object { $ours[$_.appRoleId] } |
    Where-Object { $_ })

if (-not (Get-ConnectionInformation)) {
    Connect-ExchangeOnline -ShowBanner:$false
}
$scoped = @()
if (Get-ServicePrincipal | Where-Object AppId -EQ $ClientId) {
    $scoped = @(Test-ServicePrincipalAuthorization -Identity $ClientId -Resource $Mailbox |
        Where-Object RoleName -Like 'Application *')
}

Write-Host "In Exchange Online, for $Mailbox`:"
if ($scoped) {
    $scoped | Format-Table @('RoleName', 'AllowedResourceScope', 'InScope') | Out-Host
}
else {
    Write-Host '  nothing'
}
Write-Host 'In Microsoft Graph, for every mailbox of the tenant:'
Write-Host "  $(if ($everywhere) { $everywhere -join ', ' } else { 'nothing' })"

if ($everywhere -and $scoped) {
    throw 'Both ways are in use, so the scope in Exchange limits nothing. Remove one: infra/OPERATIONS.md, Permissions on mailboxes.'
}
