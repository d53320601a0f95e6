// node-postgres through the bastion: `node node.js PORT`. Prints `fine`.
const assert = require('assert');
const { pipeline } = require('stream/promises');
const { Readable } = require('stream');
const { Client, Pool } = require('pg');
const Cursor = require('pg-cursor');
const copy = require('pg-copy-streams');

const where = { host: '127.0.0.1', port: Number(process.argv[2]), user: 'app', database: 'app' };

async function queries(client) {
  assert.equal((await client.query('SELECT $1::int + 1 AS n', [41])).rows[0].n, 42);
  for (const word of ['a', 'b', 'c']) {
    const named = { name: 'named', text: 'SELECT $1::text AS t', values: [word] };
    assert.equal((await client.query(named)).rows[0].t, word);
  }
  assert.equal((await client.query('SELECT 1 AS a; SELECT 2 AS b')).length, 2);
  await assert.rejects(client.query('SELECT 1 / $1::int', [0]), { code: '22012' });
  await assert.rejects(client.query('DROP TABLE t'), { code: '42501', hint: 'Ask the owner.' });
  await assert.rejects(client.query({ name: 'd', text: 'DROP TABLE t' }), { code: '42501' });
}

async function rows(client) {
  await client.query('CREATE TEMP TABLE n (i int, v text)');
  const lines = Array.from({ length: 2000 }, (_, i) => `${i}\tv\n`);
  await pipeline(Readable.from(lines), client.query(copy.from('COPY n FROM STDIN')));
  let text = '';
  for await (const piece of client.query(copy.to('COPY n TO STDOUT'))) text += piece;
  assert.equal(text, lines.join(''));
  const cursor = client.query(new Cursor('SELECT * FROM n ORDER BY i'));
  let count = 0;
  for (let some; (some = await cursor.read(300)).length; ) count += some.length;
  await cursor.close();
  assert.equal(count, 2000);
  const left = client.query(new Cursor('SELECT * FROM n'));
  await left.read(10);
  await left.close();
}

async function notified(client) {
  const heard = new Promise((done) => client.once('notification', done));
  await client.query('LISTEN there');
  await client.query("NOTIFY there, 'hi'");
  const { payload, processId } = await heard;
  assert.deepEqual([payload, processId], ['hi', client.processID]);
}

async function main() {
  const client = new Client(where);
  await client.connect();
  await queries(client);
  await rows(client);
  await notified(client);
  await client.end();
  const pool = new Pool({ ...where, max: 5 });
  const asked = Array.from({ length: 50 }, (_, i) => pool.query('SELECT $1::int AS i', [i]));
  assert.deepEqual((await Promise.all(asked)).map((one) => one.rows[0].i), [...asked.keys()]);
  await pool.end();
  console.log('fine');
}

main();
