// Every mailbox of the tenant, by the app roles of Microsoft Graph. Deployed by hand, and only where
// Exchange's own permissions (scripts/grant-mailboxes.ps1) will not do: the two add up, so that a
// role given here opens every mailbox in spite of any scope there. Public cloud only.
extension microsoftGraphV1

@description('Object id of the app\'s identity: IDENTITY_PRINCIPAL_ID.')
param principalId string

@description('Mail.ReadWrite for messages, Calendars.ReadWrite for events.')
param permissions string[] = [ 'Mail.ReadWrite' ]

// The same in every tenant.
var appRoleIds = {
  'Mail.ReadWrite': 'e2a3a72e-5f79-4c64-b1b1-878b674786c9'
  'Calendars.ReadWrite': 'ef54d2bf-783f-4e0f-bca1-3210c0442d99'
}

resource graph 'Microsoft.Graph/servicePrincipals@v1.0' existing = {
  appId: '00000003-0000-0000-c000-000000000000'
}

resource appRole 'Microsoft.Graph/appRoleAssignedTo@v1.0' = [for permission in permissions: {
  appRoleId: appRoleIds[permission]
  principalId: principalId
  resourceId: graph.id
}]
