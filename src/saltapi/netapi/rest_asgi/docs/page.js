"use strict";

// Nothing outside of this server is asked: no validator, no other document from the URL.
SwaggerUIBundle({
  dom_id: "#page",
  url: "openapi.json",
  validatorUrl: null,
  queryConfigEnabled: false,
  deepLinking: true,
  displayRequestDuration: true,
  docExpansion: "list",
  defaultModelsExpandDepth: 0,
  filter: true,
});
