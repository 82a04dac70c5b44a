// Predict emotions with the npm package @vladmandic/human (docs/peers.md).
//
//     node benchmarks/peers/human.mjs --modules envs/human crops|photos <list> <answers.csv>
//
// `photos`: Human.detect with its default models for faces (BlazeFace, face mesh, iris, emotion), except face
// description; the other models are off. The face with the largest box is used. Human truncates its scores to two
// decimals.
// `crops`: the picture is the face. The package has no function for this, so the emotion model is called directly, after
// the same steps as in the package's src/gear/emotion.ts: bilinear to 64x64, greyscale by 0.2989, 0.587, 0.114, scaled
// to [-1, 1].

import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { readArguments, startTensorFlow, writeAnswers } from './pictures.mjs';

const ORDER = ['angry', 'disgust', 'fear', 'happy', 'sad', 'surprise', 'neutral'];

const run = readArguments();
const tf = await startTensorFlow(run.require, run.modules);
const home = path.join(run.modules, '@vladmandic/human');
const models = path.join(home, 'models');

// The package loads its models with fetch, but fetch in Node cannot read files.
const remote = globalThis.fetch;
globalThis.fetch = async (address, options) => {
  const local = String(address).startsWith('file:');
  return local ? new Response(fs.readFileSync(fileURLToPath(address))) : remote(address, options);
};

async function classifier() {
  const model = await tf.loadGraphModel(`file://${models}/emotion.json`);
  const grey = tf.tensor1d([0.2989, 0.587, 0.114]);
  return async (pixels) => {
    const scores = tf.tidy(() => {
      const face = tf.image.resizeBilinear(tf.div(tf.cast(tf.expandDims(pixels), 'float32'), 255), [64, 64], false);
      return model.execute(tf.mul(tf.sub(tf.sum(tf.mul(face, grey), 3, true), 0.5), 2));
    });
    const values = Array.from(await scores.data());
    scores.dispose();
    return { box: null, scores: values };
  };
}

async function pipeline() {
  const { Human } = run.require(path.join(home, 'dist/human.node-wasm.js'));
  const off = { enabled: false };
  const human = new Human({
    backend: 'wasm',
    wasmPath: path.join(run.modules, '@tensorflow/tfjs-backend-wasm/dist/'),
    wasmPlatformFetch: false,
    modelBasePath: `file://${models}/`,
    async: false,
    debug: false,
    cacheSensitivity: 0, // process each picture independently, not as a frame of a video
    face: { emotion: { enabled: true, minConfidence: 0 }, description: off, antispoof: off, liveness: off },
    body: off,
    hand: off,
    object: off,
    gesture: off,
    segmentation: off,
  });
  await human.load();
  return async (pixels) => {
    const { face, error } = await human.detect(pixels);
    if (error) throw new Error(error);
    if (!face.length) return null;
    const largest = face.reduce((a, b) => (b.box[2] * b.box[3] > a.box[2] * a.box[3] ? b : a));
    const scores = Object.fromEntries(largest.emotion.map((one) => [one.emotion, one.score]));
    return { box: largest.box, scores: ORDER.map((name) => scores[name] ?? 0) };
  };
}

const ask = run.task === 'crops' ? await classifier() : await pipeline();
const size = (name) => fs.statSync(path.join(models, name)).size;
await writeAnswers(tf, run, ORDER, ask, {
  package: `@vladmandic/human ${JSON.parse(fs.readFileSync(path.join(home, 'package.json'), 'utf8')).version}`,
  licence: 'MIT',
  weights: { 'emotion.bin': size('emotion.bin') },
  detector: 'BlazeFace and face mesh',
});
