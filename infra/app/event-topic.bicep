// Events in and out by one topic: attach requests for the app, and how its transfers ended.
param name string
param location string
param tags object
param senderPrincipalId string
param hostAccountName string
param deadLetterContainer string

var eventGridDataSender = 'd5a91429-5739-47e2-a06b-3470a27159e7'

resource topic 'Microsoft.EventGrid/topics@2025-02-15' = {
  name: name
  location: location
  tags: tags
  identity: { type: 'SystemAssigned' }
  properties: {
    inputSchema: 'CloudEventSchemaV1_0'
    disableLocalAuth: true
    minimumTlsVersionAllowed: '1.2'
  }
}

// The app sends how transfers ended. Whoever requests transfers by event needs the same role.
resource sender 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(topic.id, senderPrincipalId, eventGridDataSender)
  scope: topic
  properties: {
    principalId: senderPrincipalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', eventGridDataSender)
  }
}

module deadLetters 'dead-letter-role.bicep' = {
  name: 'topic-dead-letters'
  params: {
    principalId: topic.identity.principalId
    accountName: hostAccountName
    container: deadLetterContainer
  }
}

output id string = topic.id
output name string = topic.name
output endpoint string = topic.properties.endpoint
