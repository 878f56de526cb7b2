// What the blob service of the watched account does beside storing blobs. Deployed after the app, whose
// host name is known only then: every cloud has another domain.
param accountName string

@description('Origin of the page that uploads files, each with a signature of the app.')
param uploadOrigin string

@description('How long a deleted or overwritten blob can be restored. 0: not at all.')
param softDeleteDays int

resource account 'Microsoft.Storage/storageAccounts@2025-01-01' existing = {
  name: accountName
}

resource blobs 'Microsoft.Storage/storageAccounts/blobServices@2025-01-01' = {
  parent: account
  name: 'default'
  properties: {
    cors: {
      corsRules: [
        {
          allowedOrigins: [ uploadOrigin ]
          allowedMethods: [ 'PUT' ]
          allowedHeaders: [ 'content-type', 'x-ms-*' ]
          exposedHeaders: [ 'x-ms-error-code' ]
          maxAgeInSeconds: 3600
        }
      ]
    }
    // Metadata alone is not kept: writing it makes no copy of what it was before.
    deleteRetentionPolicy: softDeleteDays == 0 ? { enabled: false } : {
      enabled: true
      days: softDeleteDays
    }
  }
}
