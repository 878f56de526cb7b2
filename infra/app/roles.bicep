// What the app's identity may do, and where: nothing on the subscription or the resource group.
// Mailboxes are not here: see graph-role.bicep and scripts/grant-mailboxes.ps1.
param principalId string
param sourceAccountName string
param sourceContainer string
param hostAccountName string
param componentName string

@description('Who may drop files. Empty: nobody by this template.')
param dropperPrincipalId string

var storageBlobDataOwner = 'b7e6dc6d-f1e8-4753-8033-0f276bb0955b'
var storageBlobDataContributor = 'ba92f5b4-2d11-453d-a403-e96b0029c9fe'
var storageQueueDataContributor = '974c5e8b-45b9-4653-ba55-5f855dd0fb88'
var storageTableDataContributor = '0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3'
var storageBlobDelegator = 'db58b8e5-c6ad-4a2a-8342-4190687cbf4a'
var monitoringMetricsPublisher = '3913510d-42f4-4e42-8a64-420c390055eb'

resource sourceAccount 'Microsoft.Storage/storageAccounts@2025-01-01' existing = {
  name: sourceAccountName
}

resource sourceBlobs 'Microsoft.Storage/storageAccounts/blobServices@2025-01-01' existing = {
  parent: sourceAccount
  name: 'default'
}

resource source 'Microsoft.Storage/storageAccounts/blobServices/containers@2025-01-01' existing = {
  parent: sourceBlobs
  name: sourceContainer
}

resource hostAccount 'Microsoft.Storage/storageAccounts@2025-01-01' existing = {
  name: hostAccountName
}

resource component 'Microsoft.Insights/components@2020-02-02' existing = {
  name: componentName
}

// Reads the files and writes what became of them into their metadata. No other container.
resource sourceFiles 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(source.id, principalId, storageBlobDataContributor)
  scope: source
  properties: {
    principalId: principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', storageBlobDataContributor)
  }
}

// Signs uploads of the page, by keys that Entra vouches for. They open no more than the role above.
resource sourceSignatures 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(sourceAccount.id, principalId, storageBlobDelegator)
  scope: sourceAccount
  properties: {
    principalId: principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', storageBlobDelegator)
  }
}

// The blob trigger puts a blob that failed five times into a queue beside it, which it creates.
resource sourceQueues 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(sourceAccount.id, principalId, storageQueueDataContributor)
  scope: sourceAccount
  properties: {
    principalId: principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', storageQueueDataContributor)
  }
}

// The Functions host keeps keys and leases in containers that it creates, and reads the package;
// the app keeps its upload sessions. Owner is what the host asks for on AzureWebJobsStorage.
resource hostBlobs 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(hostAccount.id, principalId, storageBlobDataOwner)
  scope: hostAccount
  properties: {
    principalId: principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', storageBlobDataOwner)
  }
}

// The blob trigger's own queue; and Durable's work items and messages, if it is kept here.
resource hostQueues 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(hostAccount.id, principalId, storageQueueDataContributor)
  scope: hostAccount
  properties: {
    principalId: principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', storageQueueDataContributor)
  }
}

// The app's ledger and the locks of mailboxes; and Durable's instances and histories, if they are kept here.
resource hostTables 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(hostAccount.id, principalId, storageTableDataContributor)
  scope: hostAccount
  properties: {
    principalId: principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', storageTableDataContributor)
  }
}

// Sends telemetry; reads none.
resource telemetry 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(component.id, principalId, monitoringMetricsPublisher)
  scope: component
  properties: {
    principalId: principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', monitoringMetricsPublisher)
  }
}

// People or programs that drop files, and read their metadata.
resource droppers 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (!empty(dropperPrincipalId)) {
  name: guid(source.id, dropperPrincipalId, storageBlobDataContributor)
  scope: source
  properties: {
    principalId: dropperPrincipalId
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', storageBlobDataContributor)
  }
}
