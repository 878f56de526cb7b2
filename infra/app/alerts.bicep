// What somebody should hear of. A blob that names no item is no alert: it waits for a call.
param actionGroupName string
param location string
param tags object
param componentId string
param systemTopicId string

@description('Who is told. Empty: the alerts are seen in the portal only.')
param email string

var actions = empty(email) ? [] : [ actionGroup.id ]

// The app's meters come as custom metrics; what the Functions host says, as traces and requests.
// Each query gives rows only when there is something to tell.
var queries = [
  {
    name: 'transfers-failed'
    severity: 2
    description: 'A file did not become an attachment; the blob says why in its metadata.'
    query: 'customMetrics | where name == "blob_to_outlook.transfers" and customDimensions.outcome == "failed" and valueSum > 0'
  }
  {
    name: 'transfers-near-deadline'
    severity: 2
    description: 'A transfer will soon end for want of time.'
    query: 'customMetrics | where name == "blob_to_outlook.near_deadline" and valueSum > 0'
  }
  {
    name: 'outlook-throttles'
    severity: 3
    description: 'Outlook refuses requests again and again: the budget of a mailbox is too large, or others use it too.'
    query: 'customMetrics | where name == "blob_to_outlook.throttled" | summarize refused = sum(valueSum) | where refused > 20'
  }
  {
    name: 'blobs-poisoned'
    severity: 1
    description: 'The blob trigger gave a blob up after five tries.'
    query: 'traces | where message has "webjobs-blobtrigger-poison"'
  }
  {
    name: 'transfers-crash'
    severity: 1
    description: 'An orchestration or a trigger ended in an exception: a bug, or storage that did not answer.'
    query: 'requests | where success == false and (name contains "attach_blob" or name contains "blob_arrived" or name contains "event_received")'
  }
]

resource actionGroup 'Microsoft.Insights/actionGroups@2023-01-01' = if (!empty(email)) {
  name: actionGroupName
  location: 'global'
  tags: tags
  properties: {
    groupShortName: 'transfers'
    enabled: true
    emailReceivers: [
      {
        name: 'operator'
        emailAddress: email
        useCommonAlertSchema: true
      }
    ]
  }
}

resource queryAlert 'Microsoft.Insights/scheduledQueryRules@2023-12-01' = [for alert in queries: {
  name: alert.name
  location: location
  tags: tags
  properties: {
    displayName: alert.name
    description: alert.description
    severity: alert.severity
    enabled: true
    scopes: [ componentId ]
    evaluationFrequency: 'PT5M'
    windowSize: 'PT15M'
    criteria: {
      allOf: [
        {
          query: alert.query
          timeAggregation: 'Count'
          operator: 'GreaterThan'
          threshold: 0
        }
      ]
    }
    autoMitigate: true
    actions: { actionGroups: actions }
  }
}]

// Events that Event Grid gave up: the blob is there, and nobody works at it.
resource deadLetters 'Microsoft.Insights/metricAlerts@2018-03-01' = {
  name: 'events-dead-lettered'
  location: 'global'
  tags: tags
  properties: {
    description: 'Event Grid could not deliver events. OPERATIONS.md says how to restore them.'
    severity: 1
    enabled: true
    scopes: [ systemTopicId ]
    evaluationFrequency: 'PT5M'
    windowSize: 'PT15M'
    criteria: {
      'odata.type': 'Microsoft.Azure.Monitor.SingleResourceMultipleMetricCriteria'
      allOf: [
        {
          name: 'dead-lettered'
          criterionType: 'StaticThresholdCriterion'
          metricNamespace: 'Microsoft.EventGrid/systemTopics'
          metricName: 'DeadLetteredCount'
          timeAggregation: 'Total'
          operator: 'GreaterThan'
          threshold: 0
        }
      ]
    }
    autoMitigate: true
    actions: [for id in actions: { actionGroupId: id }]
  }
}
