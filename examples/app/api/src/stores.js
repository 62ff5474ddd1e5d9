// The two stores. Both connect by themselves, and again after a failure. The app may start before them: then
// /healthz reports them, and the app serves as soon as they answer.
import { readFileSync } from 'node:fs';

import { MongoClient, ObjectId } from 'mongodb';
import { createClient } from 'redis';

import { hide, log, said } from './log.js';

const LIST = 'shop:items:'; // with a generation at the end: the cached list, as JSON
const GENERATION = 'shop:generation'; // of the list: the number of items that were added
const VISITS = 'shop:visits';
const CACHE_SECONDS = 5;
const MOST = 500;
const PROBE_MS = 2000;

/** Returns the stores of a configuration. `close` ends their connections. */
export function openStores({ redisUrl, mongoUrl, redisCa, mongoCa }) {
  hide(redisUrl);
  hide(mongoUrl);
  const mongo = new MongoClient(mongoUrl, {
    appName: 'shop-api',
    serverSelectionTimeoutMS: 3000,
    maxPoolSize: 20,
    ...(mongoCa && new URL(mongoUrl).searchParams.get('tls') === 'true' ? { tlsCAFile: mongoCa } : {}),
  });
  const redis = createClient({
    url: redisUrl,
    name: 'shop-api',
    disableOfflineQueue: true, // without Redis a request gets its answer without the cache, and does not wait
    socket: {
      connectTimeout: 3000,
      reconnectStrategy: (tries) => Math.min(100 * 2 ** tries, 2000),
      ...(redisCa && redisUrl.startsWith('rediss:') ? { tls: true, ca: readFileSync(redisCa) } : {}),
    },
  });
  let closed = false;
  redis.on('error', (error) => {
    if (!closed) log('warn', 'redis', said(error));
  });
  redis.on('ready', () => log('info', 'redis is connected'));
  const connect = () => {
    if (closed) return;
    redis.connect().catch((error) => {
      // The client itself does not try a refused login again.
      if (closed) return;
      log('warn', 'redis', said(error));
      setTimeout(connect, 2000).unref();
    });
  };
  connect();
  const find = () => {
    if (closed) return;
    mongo.connect().catch((error) => {
      // If its first connection fails, the client does not connect again by itself.
      if (closed) return;
      log('warn', 'mongo', said(error));
      setTimeout(find, 2000).unref();
    });
  };
  find();
  const items = mongo.db().collection('items');

  return {
    items: new Items(items, new Cache(redis)),
    visits: new Visits(redis),
    async health() {
      const [mongoAnswers, redisAnswers] = await Promise.all([
        // These commands need a login. A ping is answered for everybody, also for a user that was dropped.
        answers(() => items.findOne({}, { projection: { _id: 1 } })),
        answers(() => redis.get(VISITS)),
      ]);
      return { mongo: mongoAnswers, redis: redisAnswers };
    },
    async close() {
      closed = true;
      // A client between two tries has nothing to finish, and `close` would wait for it for ever.
      if (redis.isOpen && !redis.isReady) redis.destroy();
      await Promise.allSettled([mongo.close(), redis.isOpen ? redis.close() : undefined]);
    },
  };
}

async function answers(ask) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error('no answer in time')), PROBE_MS);
  });
  try {
    await Promise.race([ask(), late]);
    return true;
  } catch (error) {
    log('warn', 'health', said(error));
    return false;
  } finally {
    clearTimeout(timer);
  }
}

/** The items of the shop, newest first. MongoDB has them, and the cache may answer instead. */
export class Items {
  constructor(collection, cache) {
    this.collection = collection;
    this.cache = cache;
  }

  async list() {
    const { generation, items: cached } = await this.cache.read();
    if (cached) return cached;
    const found = await this.collection.find().sort({ _id: -1 }).limit(MOST).toArray();
    const items = found.map(shown);
    await this.cache.write(generation, items);
    return items;
  }

  /** Stores an item. It resolves only when the item would survive a crash. */
  async add(name) {
    const item = { _id: new ObjectId(), name, createdAt: new Date() };
    await this.collection.insertOne(item, { writeConcern: { w: 'majority', journal: true } });
    await this.cache.outdate();
    return shown(item);
  }
}

function shown({ _id, name, createdAt }) {
  return { id: _id.toHexString(), name, createdAt: createdAt.toISOString() };
}

/**
 * A cached list. Its key has a generation, which changes with each new item. So a list from before a new item is
 * not found afterwards. Only while Redis does not answer, the list may be some seconds old.
 */
export class Cache {
  constructor(redis) {
    this.redis = redis;
  }

  async read() {
    const generation = (await quietly(() => this.redis.get(GENERATION))) ?? '0';
    const text = await quietly(() => this.redis.get(LIST + generation));
    return { generation, items: text ? JSON.parse(text) : undefined };
  }

  async write(generation, items) {
    await quietly(() => this.redis.set(LIST + generation, JSON.stringify(items), { EX: CACHE_SECONDS }));
  }

  async outdate() {
    await quietly(() => this.redis.incr(GENERATION));
  }
}

/** Counts in Redis how often the list was requested. */
export class Visits {
  constructor(redis) {
    this.redis = redis;
  }

  async count() {
    return quietly(() => this.redis.incr(VISITS));
  }
}

async function quietly(ask) {
  try {
    return await ask();
  } catch (error) {
    log('warn', 'redis', said(error));
    return undefined;
  }
}
