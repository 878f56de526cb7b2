// The watched account's events. Who gets them is said after the first deployment: subscriptions.bicep.
param name string
param location string
param tags object
param sourceAccountId string
param hostAccountName string
param deadLetterContainer string

resource topic 'Microsoft.EventGrid/systemTopics@2025-02-15' = {
  name: name
  location: location
  tags: tags
  identity: { type: 'SystemAssigned' }
  properties: {
    source: sourceAccountId
    topicType: 'Microsoft.Storage.StorageAccounts'
  }
}

module deadLetters 'dead-letter-role.bicep' = {
  name: 'blob-dead-letters'
  params: {
    principalId: topic.identity.principalId
    accountName: hostAccountName
    container: deadLetterContainer
  }
}

output id string = topic.id
output name string = topic.name
