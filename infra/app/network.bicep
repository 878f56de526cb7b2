// A network through which the app reaches its storage accounts, when they are closed to everybody else.
param name string
param location string
param tags object
param sourceAccountId string
param hostAccountId string

var services = [ 'blob', 'queue', 'table' ]

// The app reads blobs of the one account, with a queue for those that fail, and keeps its state in the
// other. service counts in services.
var endpoints = [
  { name: 'source-blob', accountId: sourceAccountId, service: 0 }
  { name: 'source-queue', accountId: sourceAccountId, service: 1 }
  { name: 'host-blob', accountId: hostAccountId, service: 0 }
  { name: 'host-queue', accountId: hostAccountId, service: 1 }
  { name: 'host-table', accountId: hostAccountId, service: 2 }
]

var appSubnet = 'app'
var endpointSubnet = 'private-endpoints'

resource network 'Microsoft.Network/virtualNetworks@2024-07-01' = {
  name: name
  location: location
  tags: tags
  properties: {
    addressSpace: { addressPrefixes: [ '10.0.0.0/24' ] }
    subnets: [
      {
        name: appSubnet
        properties: {
          addressPrefix: '10.0.0.0/26'
          // What Flex Consumption asks for.
          delegations: [
            {
              name: 'flex'
              properties: { serviceName: 'Microsoft.App/environments' }
            }
          ]
        }
      }
      {
        name: endpointSubnet
        properties: { addressPrefix: '10.0.0.64/26' }
      }
    ]
  }
}

resource zone 'Microsoft.Network/privateDnsZones@2024-06-01' = [for service in services: {
  name: 'privatelink.${service}.${environment().suffixes.storage}'
  location: 'global'
  tags: tags
}]

resource link 'Microsoft.Network/privateDnsZones/virtualNetworkLinks@2024-06-01' = [for (service, i) in services: {
  parent: zone[i]
  name: '${service}-in-${name}'
  location: 'global'
  tags: tags
  properties: {
    registrationEnabled: false
    virtualNetwork: { id: network.id }
  }
}]

// One after the other: each changes the same network, and two at once fail.
@batchSize(1)
resource endpoint 'Microsoft.Network/privateEndpoints@2024-07-01' = [for each in endpoints: {
  name: '${name}-${each.name}'
  location: location
  tags: tags
  properties: {
    subnet: { id: '${network.id}/subnets/${endpointSubnet}' }
    privateLinkServiceConnections: [
      {
        name: each.name
        properties: {
          privateLinkServiceId: each.accountId
          groupIds: [ services[each.service] ]
        }
      }
    ]
  }
}]

@batchSize(1)
resource names 'Microsoft.Network/privateEndpoints/privateDnsZoneGroups@2024-07-01' = [for (each, i) in endpoints: {
  parent: endpoint[i]
  name: 'default'
  properties: {
    privateDnsZoneConfigs: [
      {
        name: each.name
        properties: { privateDnsZoneId: zone[each.service].id }
      }
    ]
  }
}]

output appSubnetId string = '${network.id}/subnets/${appSubnet}'
