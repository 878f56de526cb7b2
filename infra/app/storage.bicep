// A storage account that accepts Entra identities only, with private containers.
param name string
param location string
param tags object
param containers string[]

@description('Whether only private endpoints, trusted Azure services and allowedAddresses get in.')
param firewall bool

@description('Comma-separated public IPv4 addresses or ranges that the firewall lets in. Not for callers in Azure of the same region.')
param allowedAddresses string = ''

@description('Blobs of this container are deleted when they are old. Empty: no such container.')
param shortLivedContainer string = ''

@minValue(1)
param daysToLive int = 1

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
      // Event Grid writes dead letters with its own identity, from outside the network of the app.
      bypass: 'AzureServices'
      ipRules: ipRules
    }
  }
}

resource blobs 'Microsoft.Storage/storageAccounts/blobServices@2025-01-01' existing = {
  parent: account
  name: 'default'
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
}

output id string = account.id
output name string = account.name
