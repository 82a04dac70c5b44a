// Predict emotions with the npm package @vladmandic/face-api, the maintained face-api.js (docs/peers.md).
//
//     node benchmarks/peers/face_api.mjs --modules envs/human crops|photos <list> <answers.csv>
//
// The package does everything except decoding files. `crops`: the picture is the face. FaceExpressionNet pads it to a
// square, resizes it to 112x112 and subtracts the mean colour.
// `photos`: detectAllFaces (SSD MobileNet v1, the default) with landmarks and expressions, as in the package's tutorial;
// the face with the largest box is used.

import fs from 'node:fs';
import path from 'node:path';
import { readArguments, startTensorFlow, writeAnswers } from './pictures.mjs';

const ORDER = ['neutral', 'happy', 'sad', 'angry', 'fearful', 'disgusted', 'surprised'];

const run = readArguments();
const tf = await startTensorFlow(run.require, run.modules);
const home = path.join(run.modules, '@vladmandic/face-api');
const models = path.join(home, 'model');
const faceapi = run.require(path.join(home, 'dist/face-api.node-wasm.js'));
await faceapi.nets.faceExpressionNet.loadFromDisk(models);
if (run.task === 'photos') {
  await faceapi.nets.ssdMobilenetv1.loadFromDisk(models);
  await faceapi.nets.faceLandmark68Net.loadFromDisk(models);
}

async function classify(pixels) {
  const scores = await faceapi.nets.faceExpressionNet.predictExpressions(pixels);
  return { box: null, scores: ORDER.map((name) => scores[name]) };
}

async function pipeline(pixels) {
  const found = await faceapi.detectAllFaces(pixels).withFaceLandmarks().withFaceExpressions();
  if (!found.length) return null;
  const area = (one) => one.detection.box.width * one.detection.box.height;
  const largest = found.reduce((a, b) => (area(b) > area(a) ? b : a));
  const { x, y, width, height } = largest.detection.box;
  return { box: [x, y, width, height], scores: ORDER.map((name) => largest.expressions[name]) };
}

const name = 'face_expression_model.bin';
await writeAnswers(tf, run, ORDER, run.task === 'crops' ? classify : pipeline, {
  package: `@vladmandic/face-api ${JSON.parse(fs.readFileSync(path.join(home, 'package.json'), 'utf8')).version}`,
  licence: 'MIT',
  weights: { [name]: fs.statSync(path.join(models, name)).size },
  detector: 'SSD MobileNet v1',
});
