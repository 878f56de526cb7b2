// Who gets the events. Deployed after the code, as often as you like (scripts/subscribe.sh): the
// blob webhook's key and the function event_received exist only with it. The key goes from the app
// to Event Grid inside Azure, and is shown to nobody.
param functionAppName string
param systemTopicName string
param sourceContainer string
param hostAccountName string
param deadLetterContainer string

@description('Empty: no events in.')
param eventTopicName string = ''

resource app 'Microsoft.Web/sites@2024-11-01' existing = {
  name: functionAppName
}

resource hostAccount 'Microsoft.Storage/storageAccounts@2025-01-01' existing = {
  name: hostAccountName
}

resource systemTopic 'Microsoft.EventGrid/systemTopics@2025-02-15' existing = {
  name: systemTopicName
}

// Azure checks names even where a condition is false: the name must never be empty.
resource eventTopic 'Microsoft.EventGrid/topics@2025-02-15' existing = if (!empty(eventTopicName)) {
  name: empty(eventTopicName) ? 'no-topic' : eventTopicName
}

var deadLettersByTopic = {
  identity: { type: 'SystemAssigned' }
  deadLetterDestination: {
    endpointType: 'StorageBlob'
    properties: {
      resourceId: hostAccount.id
      blobContainerName: deadLetterContainer
    }
  }
}

// A day, as long as Event Grid tries at all.
var tries = {
  maxDeliveryAttempts: 30
  eventTimeToLiveInMinutes: 1440
}

resource blobArrived 'Microsoft.EventGrid/systemTopics/eventSubscriptions@2025-02-15' = {
  parent: systemTopic
  name: 'blob-arrived'
  properties: {
    eventDeliverySchema: 'EventGridSchema'
    destination: {
      endpointType: 'WebHook'
      properties: {
        endpointUrl: 'https://${app.properties.defaultHostName}/runtime/webhooks/blobs?functionName=Host.Functions.blob_arrived&code=${listKeys('${app.id}/host/default', '2024-11-01').systemKeys.blobs_extension}'
      }
    }
    filter: {
      includedEventTypes: [ 'Microsoft.Storage.BlobCreated' ]
      subjectBeginsWith: '/blobServices/default/containers/${sourceContainer}/'
    }
    retryPolicy: tries
    deadLetterWithResourceIdentity: deadLettersByTopic
  }
}

// The app's own events are on the same topic: only attach requests come in.
resource eventReceived 'Microsoft.EventGrid/topics/eventSubscriptions@2025-02-15' = if (!empty(eventTopicName)) {
  parent: eventTopic
  name: 'event-received'
  properties: {
    eventDeliverySchema: 'CloudEventSchemaV1_0'
    destination: {
      endpointType: 'AzureFunction'
      properties: { resourceId: '${app.id}/functions/event_received' }
    }
    filter: { includedEventTypes: [ 'BlobToOutlook.AttachRequested' ] }
    retryPolicy: tries
    deadLetterWithResourceIdentity: deadLettersByTopic
  }
}
