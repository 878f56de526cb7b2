// The watched account's events. Who gets them is set after the first deployment: subscriptions.bicep.
param name string
param location string
param tags object
param sourceAccountId string
param hostAccountName string
param deadLetterContainer string

@description('Name of the system topic that the account already has, in this resource group. Empty: one is made.')
param existingName string

// An account has one system topic at most, and Defender for Storage may have made it.
resource topic 'Microsoft.EventGrid/systemTopics@2025-02-15' = if (empty(existingName)) {
  name: name
  location: location
  tags: tags
  identity: { type: 'SystemAssigned' }
  properties: {
    source: sourceAccountId
    topicType: 'Microsoft.Storage.StorageAccounts'
  }
}

resource present 'Microsoft.EventGrid/systemTopics@2025-02-15' existing = if (!empty(existingName)) {
  name: empty(existingName) ? name : existingName
}

module deadLetters 'dead-letter-role.bicep' = {
  name: 'blob-dead-letters'
  params: {
    principalId: empty(existingName) ? topic!.identity.principalId : present!.identity.principalId
    accountName: hostAccountName
    container: deadLetterContainer
  }
}

output id string = present.id
output name string = present.name
