import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

import { WebSocket } from 'ws';

import { ConfigError, readConfig } from '../src/config.js';
import { hide, scrub } from '../src/log.js';
import { serve } from '../src/server.js';
import { Cache, Items } from '../src/stores.js';

function stores(over = {}) {
  const list = [];
  return {
    items: {
      list: async () => list,
      add: async (name) => {
        const item = { id: String(list.length), name, createdAt: '2026-01-01T00:00:00.000Z' };
        list.unshift(item);
        return item;
      },
    },
    visits: { count: async () => 7 },
    health: async () => ({ mongo: true, redis: true }),
    close: async () => {},
    ...over,
  };
}

async function started(t, over, options = {}) {
  const { port, stop } = await serve(stores(over), {
    port: 0,
    host: '127.0.0.1',
    stopSeconds: 5,
    every: 20,
    ...options,
  });
  t.after(stop);
  return { url: `http://127.0.0.1:${port}`, port, stop };
}

const post = (url, body, headers = { 'content-type': 'application/json' }) =>
  fetch(`${url}/api/items`, { method: 'POST', headers, body });

test('an item that was added is listed', async (t) => {
  const { url } = await started(t);
  const added = await post(url, JSON.stringify({ name: '  tea  ' }));
  assert.equal(added.status, 201);
  assert.equal((await added.json()).name, 'tea');
  const listed = await (await fetch(`${url}/api/items`)).json();
  assert.deepEqual([listed.items[0].name, listed.visits], ['tea', 7]);
});

test('what is no item is refused', async (t) => {
  const { url } = await started(t);
  for (const body of ['{}', '{"name": 1}', '{"name": " "}', `{"name": "${'x'.repeat(201)}"}`, '{"name', '[]']) {
    assert.equal((await post(url, body)).status, 400, body);
  }
  assert.equal((await post(url, 'name=tea', { 'content-type': 'text/plain' })).status, 400);
  assert.equal((await post(url, JSON.stringify({ name: 'x'.repeat(20_000) }))).status, 413);
  assert.equal((await fetch(`${url}/elsewhere`)).status, 404);
});

test('health says which store does not answer', async (t) => {
  const { url } = await started(t, { health: async () => ({ mongo: true, redis: false }) });
  const answer = await fetch(`${url}/healthz`);
  assert.equal(answer.status, 503);
  assert.deepEqual(await answer.json(), { ok: false, mongo: true, redis: false });
});

test('a store that fails is no traceback for the visitor', async (t) => {
  const list = async () => {
    throw new Error('connect to 10.0.0.1 failed');
  };
  const { url } = await started(t, { items: { list } });
  const answer = await fetch(`${url}/api/items`);
  assert.equal(answer.status, 503);
  assert.doesNotMatch(await answer.text(), /10\.0\.0\.1|at /);
});

test('the WebSocket ticks, and only at its path', async (t) => {
  const { port } = await started(t);
  const socket = new WebSocket(`ws://127.0.0.1:${port}/ws`);
  const [first] = await once(socket, 'message');
  const [second] = await once(socket, 'message');
  assert.ok(JSON.parse(second).tick > JSON.parse(first).tick);
  socket.close();
  const [error] = await once(new WebSocket(`ws://127.0.0.1:${port}/other`), 'error');
  assert.match(error.message, /404/);
});

test('a stop finishes what runs, takes nothing new, and says goodbye to sockets', async (t) => {
  let release;
  const slow = new Promise((resolve) => {
    release = resolve;
  });
  let asked;
  const running = new Promise((resolve) => {
    asked = resolve;
  });
  const list = async () => {
    asked();
    await slow;
    return [];
  };
  let closed = 0;
  const close = async () => {
    closed += 1;
  };
  const { url, port, stop } = await started(t, { items: { list }, close }, { stopSeconds: 300 });
  const socket = new WebSocket(`ws://127.0.0.1:${port}/ws`);
  await once(socket, 'open');
  const answer = fetch(`${url}/api/items`);
  await running;
  const stopped = stop();
  assert.equal((await once(socket, 'close'))[0], 1001);
  await assert.rejects(fetch(`${url}/healthz`));
  assert.equal(closed, 0, 'the stores stay until the last request is answered');
  release();
  assert.equal((await answer).status, 200);
  await stopped; // long before `stopSeconds`: the kept connection is not waited for
  assert.equal(closed, 1);
});

test('a stop does not wait for ever', async (t) => {
  const { port, stop } = await started(t, { items: { list: () => new Promise(() => {}) } }, { stopSeconds: 0.1 });
  const hanging = request({ port, path: '/api/items' });
  hanging.on('error', () => {});
  hanging.end();
  await once(hanging, 'socket');
  await new Promise((resolve) => setTimeout(resolve, 50));
  await stop();
});

test('all that is missing is said at once, and no secret with it', () => {
  const folder = mkdtempSync(join(tmpdir(), 'secrets-'));
  writeFileSync(join(folder, 'redis_url'), 'hidden-word');
  assert.throws(
    () => readConfig({ SECRETS_DIR: folder, PORT: 'x' }),
    (error) =>
      error instanceof ConfigError &&
      /redis_url: contains no/.test(error.message) &&
      /mongo_shop_url: cannot be read \(ENOENT\)/.test(error.message) &&
      /PORT: is not a number/.test(error.message) &&
      !error.message.includes('hidden-word'),
  );
});

test('addresses come from files; a CA is taken when it is there', () => {
  const folder = mkdtempSync(join(tmpdir(), 'secrets-'));
  writeFileSync(join(folder, 'redis_url'), 'redis://app-1:pw@redis:6379/0\n');
  writeFileSync(join(folder, 'mongo_shop_url'), 'mongodb://shop-1:pw@mongo:27017/shop?authSource=shop');
  const { port, redisUrl, redisCa } = readConfig({ SECRETS_DIR: folder });
  assert.deepEqual([port, redisUrl, redisCa], [8080, 'redis://app-1:pw@redis:6379/0', undefined]);
  writeFileSync(join(folder, 'redis_ca.crt'), 'x');
  assert.equal(readConfig({ SECRETS_DIR: folder }).redisCa, join(folder, 'redis_ca.crt'));
});

test('a password that was read from a file is never logged', () => {
  hide('redis://app-1:hid%24den@redis:6379/0');
  assert.equal(scrub('WRONGPASS hid$den hid%24den'), 'WRONGPASS *** ***');
});

function collection() {
  const seen = { asked: 0, during: async () => {} };
  const cursor = {
    sort: () => cursor,
    limit: () => cursor,
    toArray: async () => {
      seen.asked += 1;
      await seen.during();
      return [];
    },
  };
  return { seen, find: () => cursor, insertOne: async () => {} };
}

function redis() {
  const kept = new Map();
  return {
    get: async (key) => kept.get(key) ?? null,
    set: async (key, value) => kept.set(key, value),
    incr: async (key) => kept.set(key, String(Number(kept.get(key) ?? 0) + 1)),
  };
}

test('the list comes from the cache until something is added', async () => {
  const stored = collection();
  const items = new Items(stored, new Cache(redis()));
  await items.list();
  await items.list();
  assert.equal(stored.seen.asked, 1);
  await items.add('tea');
  await items.list();
  assert.equal(stored.seen.asked, 2);
});

test('a list that was read before an item was added is not cached after it', async () => {
  const stored = collection();
  const items = new Items(stored, new Cache(redis()));
  stored.seen.during = async () => {
    stored.seen.during = async () => {};
    await items.add('tea');
  };
  await items.list();
  await items.list();
  assert.equal(stored.seen.asked, 2);
});

test('without Redis the list comes from MongoDB', async () => {
  const down = async () => {
    throw new Error('Socket closed');
  };
  const stored = collection();
  const items = new Items(stored, new Cache({ get: down, set: down, incr: down }));
  await items.list();
  await items.add('tea');
  await items.list();
  assert.equal(stored.seen.asked, 2);
});
