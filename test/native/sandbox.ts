import { spawn } from 'node:child_process'
import { chmodSync, cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('../..', import.meta.url))

const engine = {
  'native/core/answer.h': 'namespace anneal { int answer(); }\n',
  'native/core/answer.cpp': '#include "core/answer.h"\nint anneal::answer() { return 42; }\n',
  'native/binding/addon.cpp': `#include <napi.h>
#include "core/answer.h"
Napi::Object init(Napi::Env, Napi::Object exports) {
    exports.Set("answer", anneal::answer());
    return exports;
}
NODE_API_MODULE(anneal, init)
`,
}

export interface Result {
  code: number | null
  output: string
}

/** A checkout with this package's build files and an engine of three lines, to build and break in seconds. */
export class Sandbox {
  readonly folder = mkdtempSync(join(tmpdir(), 'anneal-sandbox-'))
  readonly tools = join(this.folder, 'tools')

  constructor() {
    for (const file of ['package.json', 'package-lock.json', 'CMakeLists.txt']) this.copy(file)
    for (const file of ['build.mjs', 'setup.mjs', 'requirements.mjs']) this.copy(`native/${file}`)
    for (const [name, text] of Object.entries(engine)) this.write(name, text)
    for (const folder of ['native/cpu', 'native/test', 'tools']) {
      mkdirSync(join(this.folder, folder), { recursive: true })
    }
    symlinkSync(join(root, 'node_modules'), join(this.folder, 'node_modules'))
  }

  private copy(file: string): void {
    cpSync(join(root, file), join(this.folder, file), { recursive: true })
  }

  write(file: string, text: string): void {
    mkdirSync(dirname(join(this.folder, file)), { recursive: true })
    writeFileSync(join(this.folder, file), text)
  }

  /** Puts a shell script in front of the system's command of that name. `$here` in it is the sandbox's folder. */
  tool(name: string, script: string): void {
    writeFileSync(join(this.tools, name), `#!/bin/bash\nhere=${this.folder}\n${script}\n`)
    chmodSync(join(this.tools, name), 0o755)
  }

  /** Runs one of the sandbox's scripts in a process of its own, with its tools first on the PATH. */
  node(
    args: string[],
    { path = process.env.PATH ?? '', env = {} as NodeJS.ProcessEnv } = {},
  ): Promise<Result> {
    return new Promise((resolve, reject) => {
      const child = spawn(process.execPath, args, {
        cwd: this.folder,
        env: { ...process.env, npm_execpath: '', ...env, PATH: `${this.tools}${delimiter}${path}` },
      })
      let output = ''
      child.stdout.on('data', (chunk) => (output += chunk))
      child.stderr.on('data', (chunk) => (output += chunk))
      child.on('error', reject)
      child.on('close', (code) => resolve({ code, output }))
    })
  }

  /** What the built add-on answers, asked in a process of its own. */
  async answer(): Promise<string> {
    const addon = JSON.stringify(join(this.folder, 'build/Release/anneal.node'))
    return (await this.node(['-p', `require(${addon}).answer`])).output.trim()
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true })
  }
}
