// The routes. They take the stores as functions, so that tests can pass other functions.
import express from 'express';

import { log, said } from './log.js';

const LONGEST = 200;

/**
 * Returns the Express app.
 * `items` lists and adds items. `visits` counts requests. `health` tells which stores answer. `stopping` tells
 * whether the process is about to end.
 */
export function createApp({ items, visits, health, stopping = () => false }) {
  const app = express();
  app.disable('x-powered-by');
  app.set('trust proxy', ['loopback', 'uniquelocal']); // nginx, on docker0's address
  app.use((_request, response, next) => {
    if (stopping()) response.set('Connection', 'close'); // the proxy must not reuse the connection
    next();
  });

  app.get('/healthz', async (_request, response) => {
    const stores = await health();
    const well = Object.values(stores).every(Boolean);
    response.set('Cache-Control', 'no-store').status(well ? 200 : 503).json({ ok: well, ...stores });
  });

  const api = express.Router();
  api.use(express.json({ limit: '10kb' }));
  api.get('/items', async (_request, response) => {
    const [list, count] = await Promise.all([items.list(), visits.count()]);
    response.set('Cache-Control', 'no-store').json({ items: list, visits: count ?? null });
  });
  api.post('/items', async (request, response) => {
    const name = typeof request.body?.name === 'string' ? request.body.name.trim() : '';
    if (!name || name.length > LONGEST) {
      response.status(400).json({ error: `name: must be a text of 1 to ${LONGEST} characters` });
      return;
    }
    response.status(201).json(await items.add(name));
  });
  app.use('/api', api);

  app.use((_request, response) => {
    response.status(404).json({ error: 'not found' });
  });
  // Express treats a function with four arguments as an error handler.
  app.use((error, request, response, _next) => {
    if (error.expose && error.status) {
      response.status(error.status).json({ error: 'the request is invalid' });
      return;
    }
    log('error', `${request.method} ${request.path}`, said(error));
    response.status(503).json({ error: 'the store does not answer; try again' });
  });
  return app;
}
