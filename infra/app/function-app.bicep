// The app: a Flex Consumption plan, the site, and every app setting.
param name string
param planName string
param location string
param tags object
param identityId string
param identityClientId string
param sourceAccountName string
param hostAccountName string
param deploymentContainer string
param componentName string
param taskHubName string

@description('Of a Durable Task Scheduler. Empty: the task hub is in the host account.')
param schedulerEndpoint string

@description('Of the topic for events out. Empty: none are sent.')
param topicEndpoint string

@description('Client id of the app registration that callers sign in to. Empty: nobody signs in.')
param signInClientId string

@description('App settings of README. An empty one is left out.')
param transferSettings object

@description('Of the network through which the app reaches its storage. Empty: none.')
param subnetId string

param alwaysReadyInstances int
param maximumInstances int
param instanceMemoryMB int

@description('Comma-separated IPv4 ranges. Empty: every caller.')
param callerAddresses string

var callers = empty(callerAddresses) ? [] : split(callerAddresses, ',')
var callerRules = [for (range, i) in callers: {
  name: 'callers-${i}'
  priority: 200 + i
  action: 'Allow'
  ipAddress: trim(range)
}]

resource sourceAccount 'Microsoft.Storage/storageAccounts@2025-01-01' existing = {
  name: sourceAccountName
}

resource hostAccount 'Microsoft.Storage/storageAccounts@2025-01-01' existing = {
  name: hostAccountName
}

resource component 'Microsoft.Insights/components@2020-02-02' existing = {
  name: componentName
}

resource plan 'Microsoft.Web/serverfarms@2024-11-01' = {
  name: planName
  location: location
  tags: tags
  kind: 'functionapp'
  sku: {
    tier: 'FlexConsumption'
    name: 'FC1'
  }
  properties: { reserved: true }
}

resource site 'Microsoft.Web/sites@2024-11-01' = {
  name: name
  location: location
  // azd finds the app to deploy to by this tag.
  tags: union(tags, { 'azd-service-name': 'transfers' })
  kind: 'functionapp,linux'
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: { '${identityId}': {} }
  }
  properties: {
    serverFarmId: plan.id
    virtualNetworkSubnetId: empty(subnetId) ? null : subnetId
    httpsOnly: true
    siteConfig: {
      minTlsVersion: '1.2'
      // Event Grid must always get through: it brings the blobs.
      ipSecurityRestrictionsDefaultAction: empty(callers) ? 'Allow' : 'Deny'
      ipSecurityRestrictions: empty(callers) ? [] : concat(
        [
          {
            name: 'event-grid'
            priority: 100
            action: 'Allow'
            tag: 'ServiceTag'
            ipAddress: 'AzureEventGrid'
          }
        ],
        callerRules
      )
    }
    functionAppConfig: {
      runtime: {
        name: 'python'
        version: '3.13'
      }
      deployment: {
        storage: {
          type: 'blobContainer'
          value: '${hostAccount.properties.primaryEndpoints.blob}${deploymentContainer}'
          authentication: {
            type: 'UserAssignedIdentity'
            userAssignedIdentityResourceId: identityId
          }
        }
      }
      scaleAndConcurrency: {
        instanceMemoryMB: instanceMemoryMB
        maximumInstanceCount: maximumInstances
        alwaysReady: alwaysReadyInstances == 0 ? [] : [
          {
            name: 'durable'
            instanceCount: alwaysReadyInstances
          }
        ]
      }
    }
  }
}

// Deployment by identity alone: no user name and password open the site.
resource noFtpPassword 'Microsoft.Web/sites/basicPublishingCredentialsPolicies@2024-11-01' = {
  parent: site
  name: 'ftp'
  properties: { allow: false }
}

resource noScmPassword 'Microsoft.Web/sites/basicPublishingCredentialsPolicies@2024-11-01' = {
  parent: site
  name: 'scm'
  properties: { allow: false }
}

var hostSettings = {
  AzureWebJobsStorage__credential: 'managedidentity'
  AzureWebJobsStorage__clientId: identityClientId
  AzureWebJobsStorage__blobServiceUri: hostAccount.properties.primaryEndpoints.blob
  AzureWebJobsStorage__queueServiceUri: hostAccount.properties.primaryEndpoints.queue
  AzureWebJobsStorage__tableServiceUri: hostAccount.properties.primaryEndpoints.table
  APPLICATIONINSIGHTS_CONNECTION_STRING: component.properties.ConnectionString
  APPLICATIONINSIGHTS_AUTHENTICATION_STRING: 'ClientId=${identityClientId};Authorization=AAD'
  // The worker sends the app's own telemetry by OpenTelemetry, without a span for each call to storage.
  PYTHON_APPLICATIONINSIGHTS_ENABLE_TELEMETRY: 'true'
  OTEL_PYTHON_DISABLED_INSTRUMENTATIONS: 'azure_sdk,requests,urllib,urllib3'
  // A trace whole or not at all: its default keeps five spans a second.
  OTEL_TRACES_SAMPLER: 'microsoft.fixed_percentage'
  OTEL_TRACES_SAMPLER_ARG: '1'
  TASKHUB_NAME: taskHubName
  // A thread for everything that host.json lets run at once (CAPACITY.md); the worker's own five would stall.
  PYTHON_THREADPOOL_THREAD_COUNT: '32'
  // Slices go back to the system when they are sent, without holes in the heap.
  MALLOC_MMAP_THRESHOLD_: '1048576'
}

// These take the place of host.json's storageProvider.
var schedulerSettings = empty(schedulerEndpoint) ? {} : {
  AzureFunctionsJobHost__extensions__durableTask__storageProvider__type: 'azureManaged'
  AzureFunctionsJobHost__extensions__durableTask__storageProvider__connectionStringName: 'DURABLE_TASK_SCHEDULER_CONNECTION_STRING'
  DURABLE_TASK_SCHEDULER_CONNECTION_STRING: 'Endpoint=${schedulerEndpoint};Authentication=ManagedIdentity;ClientID=${identityClientId}'
}

var appSettings = {
  SourceStorage__credential: 'managedidentity'
  SourceStorage__clientId: identityClientId
  SourceStorage__blobServiceUri: sourceAccount.properties.primaryEndpoints.blob
  SourceStorage__queueServiceUri: sourceAccount.properties.primaryEndpoints.queue
  GRAPH_CLIENT_ID: identityClientId
  EVENT_GRID_TOPIC_ENDPOINT: topicEndpoint
  // The app trusts the headers that name a caller only where callers sign in.
  SIGN_IN_CLIENT_ID: signInClientId
}

resource settings 'Microsoft.Web/sites/config@2024-11-01' = {
  parent: site
  name: 'appsettings'
  properties: toObject(
    filter(items(union(hostSettings, schedulerSettings, appSettings, transferSettings)), setting => !empty(setting.value)),
    setting => setting.key,
    setting => setting.value
  )
}

output name string = site.name
output url string = 'https://${site.properties.defaultHostName}'
