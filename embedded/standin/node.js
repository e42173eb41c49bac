'use strict';
// One loopback node that speaks CouchDB's protocol: node node.js PORT FOLDER
//
// PouchDB's own server (express-pouchdb) under a wrapper that mends what would hurt: anonymous users get in,
// ordinary requests kill or hang it, options are silently ignored. Each mend below says what it is for.
// Credentials come by environment (POUCH_USER, POUCH_PASS), never as an argument that `ps` shows.

const crypto = require('crypto');
const fs = require('fs');
const http = require('http');
const path = require('path');

const HOST = '127.0.0.1';
const BODY_LIMIT = '256mb';

const port = Number(process.argv[2]);
const user = process.env.POUCH_USER || 'admin';
const password = process.env.POUCH_PASS;
if (!port || !process.argv[3] || !password) {
  console.error('usage: POUCH_USER=... POUCH_PASS=... node node.js PORT FOLDER');
  process.exit(2);
}
const folder = path.resolve(process.argv[3]);
const databases = path.join(folder, 'db');

process.umask(0o077); // the data and the configuration are ours alone
fs.mkdirSync(databases, { recursive: true });

// The node's identity is kept with its data: a node that moves to another port is still the same one.
function nodeUuid() {
  const file = path.join(folder, 'uuid');
  if (!fs.existsSync(file)) {
    fs.writeFileSync(file, crypto.randomBytes(16).toString('hex') + '\n');
  }
  return fs.readFileSync(file, 'utf8').trim();
}

const configuration = path.join(folder, 'config.json');
fs.writeFileSync(configuration, JSON.stringify({
  couchdb: { uuid: nodeUuid() },
  admins: { [user]: password },
  log: { file: path.join(folder, 'log.txt'), level: 'warning' },
}));

const express = require('express');
// skip_setup: a replication must not make a database that is not there, neither its target nor its source
const PouchDB = require('pouchdb').defaults({ prefix: databases + path.sep, skip_setup: true });
const couch = require('express-pouchdb')(PouchDB, {
  configPath: configuration,
  // compression breaks long answers, db-updates and replicator pretend to work, fauxton and log are for people; who may
  // come in is decided below; the last ones cost time at every request and are never used
  overrideMode: {
    exclude: [
      'compression', 'replicator', 'routes/fauxton', 'routes/log', 'routes/db-updates',
      'routes/authentication', 'routes/authorization', 'routes/session',
      'disk-size', 'routes/http-log', 'routes/special-test-auth', 'routes/vhosts', 'routes/rewrite',
      'routes/cluster-rewrite',
    ],
  },
});

const app = express();
app.enable('case sensitive routing'); // database and document names differ by case
app.disable('x-powered-by');
const json = express.json({ limit: BODY_LIMIT });

function answer(res, code, body) {
  res.status(code).type('application/json').end(JSON.stringify(body) + '\n');
}

function refuse(res, code, error, reason) {
  answer(res, code, { error, reason });
}

// --- Who may come in: only the admin, by Basic authentication. "/" without credentials stays open, as in CouchDB.
// The password can be changed as CouchDB's can (PUT _config/admins/USER, hashed): it is kept with the data, beside what
// it was changed from, so that another one by environment counts again.

const ROUNDS = 1000;
const session = () => ({
  ok: true,
  userCtx: { name: user, roles: ['_admin'] },
  info: { authentication_handlers: ['default'], authenticated: 'default' },
});
const sha256 = (text) => crypto.createHash('sha256').update(text).digest();
const basic = (secret) => 'Basic ' + Buffer.from(`${user}:${secret}`).toString('base64');
const mark = sha256(basic(password)).toString('hex');
const changed = path.join(folder, 'admin.json');

function hashed(secret, salt, rounds) {
  const made = crypto.pbkdf2Sync(secret, salt, rounds, 32, 'sha256').toString('hex');
  return `-pbkdf2:sha256-${made},${salt},${rounds}`;
}

function keptAdmin() {
  const known = fs.existsSync(changed) ? JSON.parse(fs.readFileSync(changed, 'utf8')) : {};
  return known.from === mark ? known.admin : hashed(password, crypto.randomBytes(16).toString('hex'), ROUNDS);
}

let admin = keptAdmin();
let seen = null; // the last header that was right: hashing each time would be slow

function changeAdmin(value) {
  const next = value.startsWith('-pbkdf2:sha256-') ? value : hashed(value, crypto.randomBytes(16).toString('hex'), ROUNDS);
  fs.writeFileSync(changed + '.new', JSON.stringify({ from: mark, admin: next }));
  fs.renameSync(changed + '.new', changed);
  [admin, seen] = [next, null];
}

function lets(header) {
  if (seen && crypto.timingSafeEqual(sha256(header), seen)) {
    return true;
  }
  const [name, ...rest] = Buffer.from(header.replace(/^Basic /, ''), 'base64').toString().split(':');
  const [, salt, rounds] = admin.split(',');
  if (name !== user || hashed(rest.join(':'), salt, Number(rounds)) !== admin) {
    return false;
  }
  seen = sha256(header);
  return true;
}

app.use((req, res, next) => {
  req.headers.accept = 'application/json'; // otherwise JSON is labelled text/plain
  delete req.headers.cookie;
  const header = req.headers.authorization;
  if (req.path === '/_up') {
    return answer(res, 200, { status: 'ok' });
  }
  if (req.path === '/' && !header) {
    return next();
  }
  if (header && lets(header)) {
    req.couchSession = session(); // its own: PouchDB's server writes into it
    return next();
  }
  return refuse(res, 401, 'unauthorized', 'Authentication required.');
});

app.get('/_session', (req, res) => answer(res, 200, req.couchSession));

app.all('/_node/_local/_config/admins/:name', express.json({ strict: false }), (req, res) => {
  if (req.params.name !== user) {
    return refuse(res, 404, 'not_found', 'unknown_config_value');
  }
  const before = admin;
  if (req.method === 'PUT') {
    if (typeof req.body !== 'string' || !req.body) {
      return refuse(res, 400, 'bad_request', 'a password must be a JSON string');
    }
    changeAdmin(req.body);
  }
  return answer(res, 200, before);
});

// --- Database names: CouchDB's rule without "/", because here a/b would be the same database as ab.

const DATABASE_NAME = /^(_users|_replicator|[a-z][a-z0-9_$()+-]{0,237})$/;

async function exists(name) {
  const names = await PouchDB.allDbs();
  return names.map(decodeURIComponent).includes(name);
}

app.all(['/:db', '/:db/*'], (req, res, next) => {
  const name = req.params.db;
  if (!DATABASE_NAME.test(name)) {
    return name.startsWith('_') ? next() : refuse(res, 400, 'illegal_database_name', 'Name: ' + name);
  }
  const wholeDatabase = req.path.split('/').length <= 2;
  if (req.method !== 'DELETE' || !wholeDatabase) {
    return next();
  }
  // Deleting what is not there would make it first and say ok.
  return exists(name)
    .then((known) => (known ? next() : refuse(res, 404, 'not_found', 'Database does not exist.')))
    .catch(next);
});

// --- Users: nobody signs in as one of them here, but a password is not kept as it is, whoever writes it.

function withoutPassword(doc) {
  if (!doc || typeof doc.password !== 'string') {
    return doc;
  }
  const { password: secret, ...rest } = doc;
  const salt = crypto.randomBytes(16).toString('hex');
  const derived = crypto.pbkdf2Sync(secret, salt, ROUNDS, 20, 'sha1').toString('hex');
  return { ...rest, password_scheme: 'pbkdf2', iterations: ROUNDS, salt, derived_key: derived };
}

app.use('/_users', json, (req, res, next) => {
  if (Array.isArray((req.body || {}).docs)) {
    req.body.docs = req.body.docs.map(withoutPassword);
  } else {
    req.body = withoutPassword(req.body);
  }
  return next();
});

// --- Requests that would hang or be misread.

app.post('/:db/_bulk_get', json, (req, res, next) => {
  const wanted = req.body.docs;
  return Array.isArray(wanted) && wanted.length === 0 ? answer(res, 200, { results: [] }) : next(); // would hang
});

app.all('/:db/_changes', json, (req, res, next) => {
  const query = req.query;
  if (query.filter === '_selector') {
    delete query.filter;
    query.selector = (req.body || {}).selector || {};
  }
  if (query.filter === '_design') {
    delete query.filter;
    query.selector = { _id: { $gte: '_design/', $lt: '_design0' } };
  }
  if (/-/.test(query.since || '')) { // CouchDB's opaque sequence would be read as a number
    return refuse(res, 400, 'bad_request', 'Malformed sequence supplied in since parameter.');
  }
  return next();
});

// --- _replicate: options it does not know would be ignored, which copies everything; so they are refused.

const UNSUPPORTED = ['cancel', 'continuous', 'create_target', 'doc_ids', 'selector', 'since_seq'];

function credentials(endpoint) {
  const basic = (endpoint.auth || {}).basic;
  if (basic) {
    return [basic.username, basic.password];
  }
  const header = /^Basic (.+)$/.exec((endpoint.headers || {}).Authorization || '');
  if (!header) {
    return ['', ''];
  }
  const [name, ...rest] = Buffer.from(header[1], 'base64').toString().split(':');
  return [name, rest.join(':')];
}

// PouchDB knows credentials only as part of a URL; it stays in this process.
function endpointUrl(endpoint) {
  if (typeof endpoint !== 'object' || endpoint === null) {
    return endpoint;
  }
  const url = new URL(endpoint.url);
  const [name, secret] = credentials(endpoint);
  if (name) {
    url.username = encodeURIComponent(name);
    url.password = encodeURIComponent(secret);
  }
  return url.href;
}

app.post('/_replicate', json, (req, res, next) => {
  const unsupported = UNSUPPORTED.find((option) => req.body[option] !== undefined);
  if (unsupported) {
    return refuse(res, 501, 'not_implemented', unsupported);
  }
  for (const side of ['source', 'target']) {
    try {
      req.body[side] = endpointUrl(req.body[side]);
    } catch {
      return refuse(res, 400, 'bad_request', side + ' has no usable URL');
    }
    if (!/^https?:\/\//.test(req.body[side] || '')) {
      return refuse(res, 400, 'bad_request', side + ' must be an http URL');
    }
  }
  return next();
});

app.use(couch);

const server = http.createServer(app);
// a CouchDB node has it from the start
new PouchDB('_users').info().then(
  () => server.listen(port, HOST, up),
  (error) => giveUp(`cannot open ${databases}`, error),
);
server.on('error', (error) => giveUp(`cannot listen on ${HOST}:${port}`, error));

function up() {
  // express-pouchdb leaks rejections of requests that the client gave up on: they must not end a node that works
  for (const event of ['unhandledRejection', 'uncaughtException']) {
    process.on(event, (error) => console.error(event, (error && (error.stack || error.message)) || error));
  }
  console.log('up', port);
}

function giveUp(what, error) {
  console.error(`${what}: ${error.message}`);
  process.exit(1);
}

for (const signal of ['SIGTERM', 'SIGINT']) {
  process.on(signal, () => {
    server.close(() => process.exit(0));
    server.closeAllConnections(); // replication clients keep theirs open
  });
}
