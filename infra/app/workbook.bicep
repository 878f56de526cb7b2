// A page of the app's figures over time, in the portal beside its telemetry.
param location string
param tags object
param componentId string

resource workbook 'Microsoft.Insights/workbooks@2023-06-01' = {
  name: guid(componentId, 'transfers')
  location: location
  tags: tags
  kind: 'shared'
  properties: {
    displayName: 'Transfers to Outlook'
    category: 'workbook'
    sourceId: componentId
    // Its queries are about this resource without anybody choosing it.
    serializedData: string(union(loadJsonContent('workbook.json'), { fallbackResourceIds: [ componentId ] }))
  }
}
