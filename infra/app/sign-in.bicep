// Entra sign-in in front of the API and the page (App Service authentication). The function key is still
// needed: the key admits a call, the token names its caller. Deployed in either case, so that it can be
// switched off again.
param appName string

@description('Client id of the app registration that callers sign in to. Empty: nobody signs in.')
param clientId string

resource app 'Microsoft.Web/sites@2024-11-01' existing = {
  name: appName
}

resource signIn 'Microsoft.Web/sites/config@2024-11-01' = {
  parent: app
  name: 'authsettingsV2'
  properties: empty(clientId) ? { platform: { enabled: false } } : {
    platform: {
      enabled: true
      runtimeVersion: '~1'
    }
    globalValidation: {
      requireAuthentication: true
      unauthenticatedClientAction: 'RedirectToLoginPage'
      redirectToProvider: 'azureactivedirectory'
      // These cannot sign in. The webhooks of events have keys of their own; the probe reveals nothing.
      // Durable's webhooks are not among them: the app reaches its engine inside the instance.
      excludedPaths: [
        '/api/health'
        '/runtime/webhooks/blobs'
        '/runtime/webhooks/EventGrid'
        '/runtime/webhooks/eventgrid'
      ]
    }
    httpSettings: { requireHttps: true }
    identityProviders: {
      azureActiveDirectory: {
        enabled: true
        // Without a secret: browsers bring an ID token, programs an access token.
        registration: {
          clientId: clientId
          openIdIssuer: '${environment().authentication.loginEndpoint}${tenant().tenantId}/v2.0'
        }
        validation: { allowedAudiences: [ clientId, 'api://${clientId}' ] }
      }
    }
    login: { tokenStore: { enabled: false } }
  }
}
