// A storage account that takes Entra identities alone, with private containers.
param name string
param location string
param tags object
param containers string[]

@description('Whether everybody is kept out but private endpoints, trusted Azure services, and allowedAddresses.')
param firewall bool

@description('Comma-separated IPv4 addresses or ranges that the firewall lets in.')
param allowedAddresses string = ''

@description('Blobs of this container are deleted when they are old. Empty: no such container.')
param shortLivedContainer string = ''

@minValue(1)
param daysToLive int = 1

@description('Origin of a page that may put blobs in, with the app\'s leave for each. Empty: none.')
param uploadOrigin string = ''

var addresses = empty(allowedAddresses) ? [] : split(allowedAddresses, ',')
var ipRules = [for address in addresses: { value: trim(address), action: 'Allow' }]

resource account 'Microsoft.Storage/storageAccounts@2025-01-01' = {
  name: name
  location: location
  tags: tags
  kind: 'StorageV2'
  sku: { name: 'Standard_LRS' }
  properties: {
    accessTier: 'Hot'
    allowBlobPublicAccess: false
    allowCrossTenantReplication: false
    allowSharedKeyAccess: false
    defaultToOAuthAuthentication: true
    minimumTlsVersion: 'TLS1_2'
    supportsHttpsTrafficOnly: true
    networkAcls: {
      defaultAction: firewall ? 'Deny' : 'Allow'
      // Event Grid writes dead letters by its identity, and from outside of any network of ours.
      bypass: 'AzureServices'
      ipRules: ipRules
    }
  }
}

resource blobs 'Microsoft.Storage/storageAccounts/blobServices@2025-01-01' = {
  parent: account
  name: 'default'
  properties: {
    cors: {
      corsRules: empty(uploadOrigin) ? [] : [
        {
          allowedOrigins: [ uploadOrigin ]
          allowedMethods: [ 'PUT' ]
          allowedHeaders: [ 'content-type', 'x-ms-*' ]
          exposedHeaders: [ 'x-ms-error-code' ]
          maxAgeInSeconds: 3600
        }
      ]
    }
  }
}

resource container 'Microsoft.Storage/storageAccounts/blobServices/containers@2025-01-01' = [for containerName in containers: {
  parent: blobs
  name: containerName
  properties: { publicAccess: 'None' }
}]

resource lifecycle 'Microsoft.Storage/storageAccounts/managementPolicies@2025-01-01' = if (!empty(shortLivedContainer)) {
  parent: account
  name: 'default'
  properties: {
    policy: {
      rules: [
        {
          name: 'delete-abandoned'
          type: 'Lifecycle'
          definition: {
            filters: {
              blobTypes: [ 'blockBlob' ]
              prefixMatch: [ '${shortLivedContainer}/' ]
            }
            actions: {
              baseBlob: { delete: { daysAfterModificationGreaterThan: daysToLive } }
            }
          }
        }
      ]
    }
  }
  dependsOn: [ blobs ]
}

output id string = account.id
output name string = account.name
