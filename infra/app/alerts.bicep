// What needs a person. A blob that names no item is no alert: it waits for a call.
param actionGroupName string
param location string
param tags object
param componentId string
param systemTopicId string

@description('Of the topic for events in and out. Empty: there is none.')
param eventTopicId string

@description('Who is notified. Empty: the alerts are seen in the portal only.')
param email string

var actions = empty(email) ? [] : [ actionGroup.id ]

// Figures are sent once a minute, and a worker that is scaled in takes its last ones with it. So each
// query asks for a record too: of the log (traces) or of calls (dependencies). Each gives rows only
// when there is something to report.
var queries = [
  {
    name: 'transfers-failed'
    severity: 2
    description: 'A file did not become an attachment; the blob says why in its metadata.'
    query: 'union (customMetrics | where name == "blob_to_outlook.transfers" and customDimensions.outcome == "failed" and valueSum > 0), (traces | where message startswith "transfer " and message contains " ended: failed: ")'
  }
  {
    name: 'transfers-near-deadline'
    severity: 2
    description: 'A transfer has used most of its time and will soon fail.'
    query: 'union (customMetrics | where name == "blob_to_outlook.near_deadline" and valueSum > 0), (traces | where message startswith "transfer " and message endswith " goes on near its deadline")'
  }
  {
    name: 'outlook-throttles'
    severity: 3
    description: 'Outlook refuses requests again and again: the budget of a mailbox is too large, or others use it too.'
    query: 'union (customMetrics | where name == "blob_to_outlook.throttled" | summarize refused = toint(sum(valueSum))), (dependencies | where isnotempty(tostring(customDimensions.client_request_id)) and resultCode in ("429", "503", "509") | summarize refused = toint(count())) | where refused > 20'
  }
  {
    name: 'blobs-poisoned'
    severity: 1
    description: 'The blob trigger gave up on a blob after five tries.'
    query: 'traces | where message has "webjobs-blobtrigger-poison"'
  }
  {
    name: 'transfers-crash'
    severity: 1
    description: 'An orchestration or a trigger ended in an exception: a bug, or storage that did not answer.'
    query: 'requests | where success == false and (name contains "attach_blob" or name contains "blob_arrived" or name contains "event_received")'
  }
]

// What Event Grid gave up on: the blob or the order is there, and nothing works on it.
var losses = [
  {
    name: 'events-dead-lettered'
    topicId: systemTopicId
    topicType: 'Microsoft.EventGrid/systemTopics'
    metric: 'DeadLetteredCount'
    description: 'Event Grid could not deliver events of blobs. OPERATIONS.md says how to restore them.'
  }
  {
    name: 'events-dropped'
    topicId: systemTopicId
    topicType: 'Microsoft.EventGrid/systemTopics'
    metric: 'DroppedEventCount'
    description: 'Event Grid dropped events of blobs: they could not even be kept as dead letters.'
  }
  {
    name: 'orders-dead-lettered'
    topicId: eventTopicId
    topicType: 'Microsoft.EventGrid/topics'
    metric: 'DeadLetteredCount'
    description: 'Event Grid could not deliver attach requests. OPERATIONS.md says how to restore them.'
  }
  {
    name: 'orders-dropped'
    topicId: eventTopicId
    topicType: 'Microsoft.EventGrid/topics'
    metric: 'DroppedEventCount'
    description: 'Event Grid dropped attach requests: they could not even be kept as dead letters.'
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

resource lossAlert 'Microsoft.Insights/metricAlerts@2018-03-01' = [for loss in filter(losses, each => !empty(each.topicId)): {
  name: loss.name
  location: 'global'
  tags: tags
  properties: {
    description: loss.description
    severity: 1
    enabled: true
    scopes: [ loss.topicId ]
    evaluationFrequency: 'PT5M'
    windowSize: 'PT15M'
    criteria: {
      'odata.type': 'Microsoft.Azure.Monitor.SingleResourceMultipleMetricCriteria'
      allOf: [
        {
          name: loss.metric
          criterionType: 'StaticThresholdCriterion'
          metricNamespace: loss.topicType
          metricName: loss.metric
          timeAggregation: 'Total'
          operator: 'GreaterThan'
          threshold: 0
        }
      ]
    }
    autoMitigate: true
    actions: [for id in actions: { actionGroupId: id }]
  }
}]
