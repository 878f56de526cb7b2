// Everything blob-to-outlook needs in Azure, but for two things that come after it: the permission
// to reach mailboxes (OPERATIONS.md) and the event subscriptions (subscriptions.bicep).
targetScope = 'subscription'

@minLength(1)
@maxLength(64)
@description('Name of the azd environment; names of resources are derived from it.')
param environmentName string

@minLength(1)
@metadata({ azd: { type: 'location' } })
param location string

@description('Empty: rg- and the name of the environment.')
param resourceGroupName string = ''

@description('Container that is watched.')
param sourceContainer string = 'outlook-attachments'

@description('Container of the running uploads.')
param sessionContainer string = 'upload-sessions'

@minValue(1)
@maxValue(43200)
param transferDeadlineMinutes int = 240

@description('Other app settings of README by name. An empty one is left to the default of the code.')
param transferSettings object = {}

@allowed([ 'AzureStorage', 'DurableTaskScheduler' ])
@description('Where Durable Functions keeps its state.')
param durableBackend string = 'AzureStorage'

@description('A topic for events in and out.')
param events bool = false

@description('System topic that the watched account already has. Empty: one is made.')
param existingSystemTopic string = ''

@minValue(0)
@description('Instances that wait for orchestrations, activities and entities. With 0 a transfer starts later.')
param alwaysReadyInstances int = 1

@minValue(1)
@maxValue(1000)
param maximumInstances int = 40

// No 512: slices of 16 activities, the app and the Functions host do not fit (CAPACITY.md).
@allowed([ 2048, 4096 ])
param instanceMemoryMB int = 2048

@description('Whether the storage accounts are reached by private endpoints only, through a network of the app\'s own.')
param privateNetwork bool = false

@description('Comma-separated IPv4 addresses or ranges from which files are dropped in spite of privateNetwork.')
param dropperAddresses string = ''

@description('Comma-separated IPv4 ranges (198.51.100.0/24) from which the HTTP API is reached. Empty: from anywhere, with the key.')
param callerAddresses string = ''

@description('Object id of a user, group or application that may drop files. Empty: nobody but who has the right already.')
param dropperPrincipalId string = ''

@minValue(0)
@maxValue(365)
@description('Days for which a deleted or overwritten file of the watched account can be restored. 0: not at all.')
param blobSoftDeleteDays int = 7

@allowed([ 'None', 'Writes', 'All' ])
@description('Which accesses to blobs of both storage accounts are logged.')
param storageLogs string = 'Writes'

@description('Client id of the app registration that callers of the API and the page sign in to. Empty: the key is enough.')
param signInClientId string = ''

@description('Who is notified of alerts. Empty: they are seen in the portal only.')
param alertEmail string = ''

var abbreviations = loadJsonContent('abbreviations.json')
var token = toLower(uniqueString(subscription().id, environmentName, location))
var tags = { 'azd-env-name': environmentName }
var taskHubName = 'blobtooutlook'
var deadLetterContainer = 'dead-letters'
var deploymentContainer = 'deployment'
var usesScheduler = durableBackend == 'DurableTaskScheduler'

resource group 'Microsoft.Resources/resourceGroups@2025-04-01' = {
  name: empty(resourceGroupName) ? '${abbreviations.resourcesResourceGroups}${environmentName}' : resourceGroupName
  location: location
  tags: tags
}

module identity 'app/identity.bicep' = {
  scope: group
  params: {
    name: '${abbreviations.managedIdentityUserAssignedIdentities}${token}'
    location: location
    tags: tags
  }
}

module monitoring 'app/monitoring.bicep' = {
  scope: group
  params: {
    workspaceName: '${abbreviations.operationalInsightsWorkspaces}${token}'
    componentName: '${abbreviations.insightsComponents}${token}'
    location: location
    tags: tags
  }
}

// The watched account is nobody's but the users': whoever reads or fills it sees no upload URL and
// no state of a transfer.
module sourceStorage 'app/storage.bicep' = {
  name: 'source-storage'
  scope: group
  params: {
    name: '${abbreviations.storageStorageAccounts}src${token}'
    location: location
    tags: tags
    containers: [ sourceContainer ]
    firewall: privateNetwork
    allowedAddresses: dropperAddresses
  }
}

// The app's own: task hub, running uploads, dead letters and the deployed package.
module hostStorage 'app/storage.bicep' = {
  name: 'host-storage'
  scope: group
  params: {
    name: '${abbreviations.storageStorageAccounts}${token}'
    location: location
    tags: tags
    containers: [ sessionContainer, deadLetterContainer, deploymentContainer ]
    firewall: privateNetwork
    shortLivedContainer: sessionContainer
    // An upload URL is a credential; nothing that a transfer still needs is that old.
    daysToLive: 1 + transferDeadlineMinutes / 1440
  }
}

module network 'app/network.bicep' = if (privateNetwork) {
  scope: group
  params: {
    name: '${abbreviations.networkVirtualNetworks}${token}'
    location: location
    tags: tags
    sourceAccountId: sourceStorage.outputs.id
    hostAccountId: hostStorage.outputs.id
  }
}

module roles 'app/roles.bicep' = {
  scope: group
  params: {
    principalId: identity.outputs.principalId
    sourceAccountName: sourceStorage.outputs.name
    sourceContainer: sourceContainer
    hostAccountName: hostStorage.outputs.name
    componentName: monitoring.outputs.componentName
    dropperPrincipalId: dropperPrincipalId
  }
}

module scheduler 'app/scheduler.bicep' = if (usesScheduler) {
  scope: group
  params: {
    name: '${abbreviations.durableTaskSchedulers}${token}'
    taskHubName: taskHubName
    location: location
    tags: tags
    principalId: identity.outputs.principalId
  }
}

module blobEvents 'app/blob-events.bicep' = {
  scope: group
  params: {
    name: '${abbreviations.eventGridSystemTopics}${token}'
    location: location
    tags: tags
    sourceAccountId: sourceStorage.outputs.id
    hostAccountName: hostStorage.outputs.name
    deadLetterContainer: deadLetterContainer
    existingName: existingSystemTopic
  }
}

module eventTopic 'app/event-topic.bicep' = if (events) {
  scope: group
  params: {
    name: '${abbreviations.eventGridTopics}${token}'
    location: location
    tags: tags
    senderPrincipalId: identity.outputs.principalId
    hostAccountName: hostStorage.outputs.name
    deadLetterContainer: deadLetterContainer
  }
}

module functionApp 'app/function-app.bicep' = {
  scope: group
  params: {
    name: '${abbreviations.webSitesFunctions}${token}'
    planName: '${abbreviations.webServerFarms}${token}'
    location: location
    tags: tags
    identityId: identity.outputs.id
    identityClientId: identity.outputs.clientId
    sourceAccountName: sourceStorage.outputs.name
    hostAccountName: hostStorage.outputs.name
    deploymentContainer: deploymentContainer
    componentName: monitoring.outputs.componentName
    taskHubName: taskHubName
    schedulerEndpoint: usesScheduler ? scheduler!.outputs.endpoint : ''
    topicEndpoint: events ? eventTopic!.outputs.endpoint : ''
    signInClientId: signInClientId
    transferSettings: union(transferSettings, {
      SOURCE_CONTAINER: sourceContainer
      SESSION_CONTAINER: sessionContainer
      TRANSFER_DEADLINE_MINUTES: string(transferDeadlineMinutes)
    })
    subnetId: privateNetwork ? network!.outputs.appSubnetId : ''
    alwaysReadyInstances: alwaysReadyInstances
    maximumInstances: maximumInstances
    instanceMemoryMB: instanceMemoryMB
    callerAddresses: callerAddresses
  }
  // An app that starts before its roles are there fails until it is started again.
  dependsOn: [ roles ]
}

module watchedBlobs 'app/watched-blobs.bicep' = {
  scope: group
  params: {
    accountName: sourceStorage.outputs.name
    uploadOrigin: functionApp.outputs.url
    softDeleteDays: blobSoftDeleteDays
  }
}

module signIn 'app/sign-in.bicep' = {
  scope: group
  params: {
    appName: functionApp.outputs.name
    clientId: signInClientId
  }
}

module sourceLogs 'app/storage-logs.bicep' = if (storageLogs != 'None') {
  name: 'source-logs'
  scope: group
  params: {
    accountName: sourceStorage.outputs.name
    workspaceId: monitoring.outputs.workspaceId
    reads: storageLogs == 'All'
  }
}

module hostLogs 'app/storage-logs.bicep' = if (storageLogs != 'None') {
  name: 'host-logs'
  scope: group
  params: {
    accountName: hostStorage.outputs.name
    workspaceId: monitoring.outputs.workspaceId
    reads: storageLogs == 'All'
  }
}

module alerts 'app/alerts.bicep' = {
  scope: group
  params: {
    actionGroupName: '${abbreviations.insightsActionGroups}${token}'
    location: location
    tags: tags
    componentId: monitoring.outputs.componentId
    systemTopicId: blobEvents.outputs.id
    eventTopicId: events ? eventTopic!.outputs.id : ''
    email: alertEmail
  }
}

module workbook 'app/workbook.bicep' = {
  scope: group
  params: {
    location: location
    tags: tags
    componentId: monitoring.outputs.componentId
  }
}

// azd hands these to the hooks, and shows them by `azd env get-values`. None is a secret.
output RESOURCE_GROUP string = group.name
output FUNCTION_APP_NAME string = functionApp.outputs.name
output FUNCTION_APP_URL string = functionApp.outputs.url
output SOURCE_ACCOUNT_NAME string = sourceStorage.outputs.name
output SOURCE_CONTAINER string = sourceContainer
output HOST_ACCOUNT_NAME string = hostStorage.outputs.name
output DEAD_LETTER_CONTAINER string = deadLetterContainer
output SYSTEM_TOPIC_NAME string = blobEvents.outputs.name
output EVENT_TOPIC_NAME string = events ? eventTopic!.outputs.name : ''
output IDENTITY_CLIENT_ID string = identity.outputs.clientId
output IDENTITY_PRINCIPAL_ID string = identity.outputs.principalId
