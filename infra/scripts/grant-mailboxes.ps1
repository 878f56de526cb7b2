<#
.SYNOPSIS
Lets the app's identity reach the named mailboxes and no other, by Exchange Online's RBAC for Applications.
.DESCRIPTION
Says what is to be: run it again to change mailboxes or permissions. Exchange takes 30 minutes to
2 hours until it is in force. Needs the module ExchangeOnlineManagement, the role Organization
Management in Exchange Online, and the environment that azd has deployed.
.EXAMPLE
pwsh infra/scripts/grant-mailboxes.ps1 -Mailboxes scans@contoso.com,reports@contoso.com
.EXAMPLE
pwsh infra/scripts/grant-mailboxes.ps1 -Group outlook-attachments@contoso.com -Items Both
#>
[CmdletBinding(DefaultParameterSetName = 'Mailboxes')]
param(
    # Addresses with commas between them: one text, since pwsh takes no lists from other shells.
    [Parameter(Mandatory, ParameterSetName = 'Mailboxes')]
    [string] $Mailboxes,

    # A mail-enabled security group; members of groups inside it do not count.
    [Parameter(Mandatory, ParameterSetName = 'Group')]
    [string] $Group,

    # What files are attached to.
    [ValidateSet('Messages', 'Events', 'Both')]
    [string] $Items = 'Messages',

    [string] $ClientId = (azd env get-value IDENTITY_CLIENT_ID),
    [string] $PrincipalId = (azd env get-value IDENTITY_PRINCIPAL_ID)
)
$ErrorActionPreference = 'Stop'
$permissions = @{ Messages = @('Mail'); Events = @('Calendars'); Both = @('Mail', 'Calendars') }[$Items]
# Every deployment has an identity, and so a scope, of its own.
$name = "blob-to-outlook $ClientId"

if (-not (Get-ConnectionInformation)) {
    Connect-ExchangeOnline -ShowBanner:$false
}

# Exchange knows applications by pointers of its own.
if (-not (Get-ServicePrincipal | Where-Object AppId -EQ $ClientId)) {
    New-ServicePrincipal -AppId $ClientId -ObjectId $PrincipalId -DisplayName $name | Out-Null
}

if ($Group) {
    $filter = "MemberOfGroup -eq '$((Get-Group $Group).DistinguishedName)'"
    $someone = (Get-DistributionGroupMember $Group -ResultSize 1).PrimarySmtpAddress
    if (-not $someone) {
        throw "The group $Group has no member."
    }
}
else {
    # An address that Exchange does not know would stay in the filter unnoticed.
    $addresses = $Mailboxes -split ',' | ForEach-Object { (Get-EXOMailbox $_.Trim()).PrimarySmtpAddress }
    $filter = ($addresses | ForEach-Object { "PrimarySmtpAddress -eq '$_'" }) -join ' -or '
    $someone = @($addresses)[0]
}

if (Get-ManagementScope | Where-Object Name -EQ $name) {
    Set-ManagementScope $name -RecipientRestrictionFilter $filter
}
else {
    New-ManagementScope -Name $name -RecipientRestrictionFilter $filter | Out-Null
}

foreach ($permission in 'Mail', 'Calendars') {
    $assignment = "$name $permission"
    $exists = Get-ManagementRoleAssignment | Where-Object Name -EQ $assignment
    if ($permission -in $permissions -and -not $exists) {
        New-ManagementRoleAssignment -Name $assignment -App $ClientId `
            -Role "Application $permission.ReadWrite" -CustomResourceScope $name | Out-Null
    }
    elseif ($permission -notin $permissions -and $exists) {
        Remove-ManagementRoleAssignment $assignment -Confirm:$false
    }
}

& "$PSScriptRoot/show-permissions.ps1" -Mailbox $someone -ClientId $ClientId -PrincipalId $PrincipalId
Write-Host 'New permissions are in force within 30 minutes to 2 hours.'
