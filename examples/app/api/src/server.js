// The HTTP server and its end: stop accepting, finish what runs, close.
import { createServer } from 'node:http';

import { createApp } from './app.js';
import { log } from './log.js';
import { serveTicks } from './ticks.js';

/** Starts to listen; resolves with the server's `port` and `stop`, which resolves when it is all over. */
export async function serve(stores, { port, host, stopSeconds, every }) {
  let stopping = false;
  const server = createServer(createApp({ ...stores, stopping: () => stopping }));
  // A connection that was busy at the stop is idle after its answer, and nobody else would close it.
  server.on('request', (_request, response) => {
    response.on('close', () => {
      if (stopping) setImmediate(() => server.closeIdleConnections());
    });
  });
  // Longer than nginx keeps its idle connections (60 s), so that it is never the app that closes one in use.
  server.keepAliveTimeout = 75_000;
  const ticks = serveTicks(server, { every });
  await new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, resolve);
  });
  const stop = async () => {
    if (stopping) return;
    stopping = true;
    log('info', 'stopping: nothing new is accepted');
    ticks.close();
    const ended = new Promise((resolve) => {
      server.close(resolve);
    });
    const late = setTimeout(() => {
      log('warn', 'stopping: what still runs is cut off');
      ticks.terminate();
      server.closeAllConnections();
    }, stopSeconds * 1000);
    await ended;
    clearTimeout(late);
    await stores.close();
    log('info', 'stopped');
  };
  return { port: server.address().port, stop };
}
