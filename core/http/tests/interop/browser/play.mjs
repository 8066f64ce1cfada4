// Drives Chromium: plays films through hls.js and natively, seeks about, and fails with a sentence when a player does.
//
//   node play.mjs NODE_MODULES NGINX_URL TREE_PATH LONG_PATH SCREENSHOT_FOLDER
import { createRequire } from 'node:module'
import path from 'node:path'

const [modules, site, tree, long, screenshots] = process.argv.slice(2)
const { chromium } = createRequire(path.join(modules, 'package.json'))('playwright-core')
const PATIENCE = 20_000 // ms until a player must have moved
const STEP = 0.4 // seconds of film that must pass after a seek

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM || '/usr/bin/chromium',
  headless: true,
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync',
    '--autoplay-policy=no-user-gesture-required', '--disable-dev-shm-usage'],
})
const failures = []
const fail = (sentence) => { failures.push(sentence); console.log(`wrong: ${sentence}`) }
const statuses = new Map()

async function open(address) {
  const page = await browser.newPage({ viewport: { width: 760, height: 560 } })
  page.ranges = 0 // answers that were a part of a file, from the first request on
  page.on('response', (response) => {
    const status = response.status()
    if (status === 206) page.ranges += 1
    statuses.set(status, (statuses.get(status) ?? 0) + 1)
    if (status >= 400) fail(`${response.url()} answered ${status}`)
  })
  page.on('pageerror', (error) => fail(`${address}: ${error.message}`))
  await page.goto(site + address, { timeout: PATIENCE })
  return page
}

/** Seeks to each place and waits until the film runs on from there. */
async function seekAbout(page, name, places) {
  for (const place of places) {
    const moved = await page.evaluate(async ({ place, STEP, PATIENCE }) => {
      const video = document.querySelector('video')
      const started = performance.now()
      const late = () => performance.now() - started > PATIENCE
      const pause = () => new Promise((resolve) => setTimeout(resolve, 30))
      while (!(video.readyState >= 1) && !late() && window.fatal.length === 0) await pause()
      if (place !== null) video.currentTime = place
      video.play().catch((error) => window.fatal.push(`play: ${error.message}`))
      const from = place ?? 0
      while ((video.seeking || video.currentTime < from + STEP) && !late() && window.fatal.length === 0) await pause()
      return { at: video.currentTime, from, fatal: window.fatal, took: performance.now() - started, frames: video.getVideoPlaybackQuality().totalVideoFrames }
    }, { place, STEP, PATIENCE })
    if (moved.fatal.length > 0) return fail(`${name}: at ${place ?? 'the start'}: ${moved.fatal.join('; ')}`)
    if (moved.at < moved.from + STEP || moved.at > moved.from + STEP + 5) return fail(`${name}: asked for ${place ?? 'the start'}, stands at ${moved.at.toFixed(2)} after ${Math.round(moved.took)} ms`)
    if (moved.frames === 0) return fail(`${name}: no frame was shown`)
  }
  console.log(`ok    ${name}: played from the start and from ${places.filter((place) => place !== null).join(', ')} s`)
}

async function hls(name, playlist, places, levels) {
  const page = await open(`/player/player.html?hls=${encodeURIComponent(playlist)}`)
  await seekAbout(page, name, places)
  const known = await page.evaluate(() => window.hls.levels.length)
  if (known !== levels) fail(`${name}: hls.js knows ${known} renditions, expected ${levels}`)
  for (let level = 1; level < levels; level += 1) {
    await page.evaluate((level) => { window.hls.currentLevel = level }, level)
    await seekAbout(page, `${name}, rendition ${level}`, [2.5, 7.2, 4.1])
  }
  await page.screenshot({ path: path.join(screenshots, `${name}.png`) })
  await page.close()
}

async function native(name, film, places) {
  const page = await open(`/player/player.html?file=${encodeURIComponent(film)}`)
  await seekAbout(page, name, places)
  if (page.ranges === 0) fail(`${name}: the browser never asked for a range`)
  await page.screenshot({ path: path.join(screenshots, `${name}.png`) })
  await page.close()
}

try {
  await hls('golden-hls', `${tree}/video/manifest.m3u8`, [null, 9, 3, 6.5], 2)
  await hls('golden-hls-encrypted', `${tree}/video/locked/index.m3u8`, [null, 2.5, 1], 1)
  await hls('long-hls', `${long}/hls/index.m3u8`, [null, 25, 4, 18, 11, 27, 0.5], 1)
  await native('golden-mp4', `${tree}/video/movie.mp4`, [null, 8, 2])
  await native('long-mp4', `${long}/movie.mp4`, [null, 26, 3, 14, 28])
  const page = await open(`${tree}/watch/`)
  const seconds = await page.evaluate(async () => {
    const video = document.querySelector('video')
    for (let i = 0; i < 300 && !(video.duration > 0); i += 1) await new Promise((resolve) => setTimeout(resolve, 30))
    return video.duration
  })
  if (!(seconds > 11 && seconds < 13)) fail(`the page watch/ shows a film of ${seconds} s, expected 12`)
  await page.screenshot({ path: path.join(screenshots, 'watch-page.png') })
  const listing = await open(`${tree}/docs/`)
  await listing.screenshot({ path: path.join(screenshots, 'listing.png') })
  // A name with every trap in it, opened as a person would: by clicking.
  for (const name of ['#hash?.txt', 'a%20b+c.txt', '100%.txt', 'ünï cødé ☂.txt']) {
    const [answer] = await Promise.all([listing.waitForNavigation({ timeout: PATIENCE }), listing.getByRole('link', { name, exact: true }).first().click({ timeout: PATIENCE })])
    const text = await answer.text()
    if (!text.includes(JSON.stringify(name))) fail(`the listing's link to ${name} led to: ${text.slice(0, 80)}`)
    await listing.goBack({ timeout: PATIENCE })
  }
} catch (error) {
  fail(error.message.split('\n')[0])
} finally {
  await browser.close()
}
console.log(`browser: answers by status: ${[...statuses].sort().map(([status, times]) => `${status} x ${times}`).join(', ')}; screenshots in ${screenshots}`)
process.exitCode = failures.length > 0 ? 1 : 0
