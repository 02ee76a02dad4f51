import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Operations, Reply } from './subject.js';

type OperationName = keyof Operations;

/**
 * A process that runs measured work and takes the time itself. Work inside a process is not measured in the bench's own: it spawns commands, and a
 * process that spawns finds its touched memory copy-on-write afterwards.
 */
export class Subject implements AsyncDisposable {
  readonly #child = fork(fileURLToPath(new URL('./subject.js', import.meta.url)), {
    serialization: 'advanced',
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  readonly #exited = new Promise<void>((resolve) => this.#child.once('exit', () => resolve()));

  get pid(): number {
    const { pid } = this.#child;
    if (pid === undefined) throw new Error('the measured process did not start');
    return pid;
  }

  /** Runs one operation at a time. @throws Error with the operation's own message, or when the process is gone. */
  async call<Name extends OperationName>(
    name: Name,
    ...args: Parameters<Operations[Name]>
  ): Promise<Awaited<ReturnType<Operations[Name]>>> {
    const reply = new Promise<Reply>((resolve, reject) => {
      const gone = (): void => reject(new Error(`the measured process ended during ${name}`));
      this.#child.once('exit', gone);
      this.#child.once('message', (message) => {
        this.#child.off('exit', gone);
        resolve(message as Reply);
      });
    });
    this.#child.send({ name, args });
    const answer = await reply;
    if (!answer.ok) throw new Error(`${name}: ${answer.message}`);
    return answer.result as Awaited<ReturnType<Operations[Name]>>;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.connected) this.#child.disconnect();
    await this.#exited;
  }
}
