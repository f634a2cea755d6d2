// How the broker is reached: SECURITY in the environment, as clients/go/security.go has it.
'use strict'

const fs = require('node:fs')

function security() {
  const given = JSON.parse(process.env.SECURITY ?? '{}')
  const settings = {}
  if (given.ca) {
    settings.ssl = { ca: fs.readFileSync(given.ca) }
    if (given.certificate) {
      Object.assign(settings.ssl, { cert: fs.readFileSync(given.certificate), key: fs.readFileSync(given.key) })
    }
  }
  if (given.mechanism === 'OAUTHBEARER') {
    settings.sasl = { mechanism: 'oauthbearer', oauthBearerProvider: async () => ({ value: given.token }) }
  } else if (given.mechanism) {
    settings.sasl = { mechanism: given.mechanism.toLowerCase(), username: given.user, password: given.password }
  }
  return settings
}

module.exports = { security }
