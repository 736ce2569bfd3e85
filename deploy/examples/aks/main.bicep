// A cluster for resimulation on AKS: system and GPU spot pools, two storage accounts (input and output of the jobs), a
// registry, and the identity that the nodes read with where no SAS is wanted.
//
//   az group create --name av --location westeurope
//   az deployment group create --resource-group av --template-file deploy/examples/aks/main.bicep
//   az aks get-credentials --resource-group av --name av
targetScope = 'resourceGroup'

@description('Where everything is made.')
param location string = resourceGroup().location

@description('Name of the cluster, and beginning of the other names.')
@minLength(2)
@maxLength(10)
param name string = 'av'

@description('Size of the nodes with GPUs. Sizes with a local NVMe disk make the best cache folder.')
param gpuSize string = 'Standard_NC4as_T4_v3'

@description('GPU nodes at most; there are none while no job runs.')
@minValue(1)
@maxValue(100)
param gpuNodesMax int = 5

var unique = uniqueString(resourceGroup().id)
var blobDataContributor = subscriptionResourceId(
  'Microsoft.Authorization/roleDefinitions',
  'ba92f5b4-2d11-453d-a403-e96b0029c9fe'
)
var acrPull = subscriptionResourceId(
  'Microsoft.Authorization/roleDefinitions',
  '7f951dda-4ed3-4680-a7ca-43fe172d538d'
)
var volumes = ['input', 'output']

resource accounts 'Microsoft.Storage/storageAccounts@2023-05-01' = [
  for volume in volumes: {
    name: '${name}${volume}${unique}'
    location: location
    kind: 'StorageV2'
    sku: { name: 'Standard_ZRS' }
    properties: {
      accessTier: 'Hot'
      allowBlobPublicAccess: false
      minimumTlsVersion: 'TLS1_2'
      supportsHttpsTrafficOnly: true
    }
  }
]

resource services 'Microsoft.Storage/storageAccounts/blobServices@2023-05-01' = [
  for (volume, index) in volumes: {
    parent: accounts[index]
    name: 'default'
  }
]

resource containers 'Microsoft.Storage/storageAccounts/blobServices/containers@2023-05-01' = [
  for (volume, index) in volumes: {
    parent: services[index]
    name: 'resim'
    properties: { publicAccess: 'None' }
  }
]

resource registry 'Microsoft.ContainerRegistry/registries@2023-07-01' = {
  name: '${name}${unique}'
  location: location
  sku: { name: 'Standard' }
  properties: { adminUserEnabled: false }
}

resource cluster 'Microsoft.ContainerService/managedClusters@2024-05-01' = {
  name: name
  location: location
  identity: { type: 'SystemAssigned' }
  properties: {
    dnsPrefix: name
    oidcIssuerProfile: { enabled: true }
    securityProfile: { workloadIdentity: { enabled: true } }
    networkProfile: { networkPlugin: 'azure', networkPluginMode: 'overlay' }
    agentPoolProfiles: [
      {
        name: 'system'
        mode: 'System'
        count: 1
        vmSize: 'Standard_D4ds_v5'
        osType: 'Linux'
        osSKU: 'Ubuntu'
      }
    ]
  }
}

// Spot nodes may be taken away at short notice: jobs write what they have as they go, and are run again.
resource gpu 'Microsoft.ContainerService/managedClusters/agentPools@2024-05-01' = {
  parent: cluster
  name: 'gpu'
  properties: {
    mode: 'User'
    vmSize: gpuSize
    osType: 'Linux'
    osSKU: 'Ubuntu'
    osDiskType: 'Ephemeral'
    enableAutoScaling: true
    count: 0
    minCount: 0
    maxCount: gpuNodesMax
    scaleSetPriority: 'Spot'
    scaleSetEvictionPolicy: 'Delete'
    spotMaxPrice: json('-1')
    nodeTaints: ['sku=gpu:NoSchedule', 'kubernetes.azure.com/scalesetpriority=spot:NoSchedule']
    nodeLabels: { 'rfuse.io/cache': 'temp-disk' }
  }
}

// For volumes without a secret: the nodes' identity reads and writes both accounts.
resource data 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for (volume, index) in volumes: {
    scope: accounts[index]
    name: guid(accounts[index].id, name, blobDataContributor)
    properties: {
      roleDefinitionId: blobDataContributor
      principalId: cluster.properties.identityProfile.kubeletidentity.objectId
      principalType: 'ServicePrincipal'
    }
  }
]

resource pull 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  scope: registry
  name: guid(registry.id, name, acrPull)
  properties: {
    roleDefinitionId: acrPull
    principalId: cluster.properties.identityProfile.kubeletidentity.objectId
    principalType: 'ServicePrincipal'
  }
}

output inputAccount string = accounts[0].name
output outputAccount string = accounts[1].name
output registry string = registry.properties.loginServer
output nodesClientId string = cluster.properties.identityProfile.kubeletidentity.clientId
