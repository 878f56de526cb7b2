// Who wrote and deleted blobs of an account, by which right and from where: to the Log Analytics workspace.
param accountName string
param workspaceId string

@description('Whether reads are logged, too.')
param reads bool

var categories = concat([ 'StorageWrite', 'StorageDelete' ], reads ? [ 'StorageRead' ] : [])

resource account 'Microsoft.Storage/storageAccounts@2025-01-01' existing = {
  name: accountName
}

resource blobs 'Microsoft.Storage/storageAccounts/blobServices@2025-01-01' existing = {
  parent: account
  name: 'default'
}

// Blobs only: queues and tables of the task hub are polled all the time, and hold no files.
resource logs 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  name: 'to-workspace'
  scope: blobs
  properties: {
    workspaceId: workspaceId
    logs: [for category in categories: {
      category: category
      enabled: true
    }]
  }
}
