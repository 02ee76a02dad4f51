import { basename, dirname } from 'node:path';
import { SimulatedFile, type Content, type Fate } from './simulated-file.js';
import type { RecordedTrace, TraceEntry } from './trace.js';

/** What a name may lead to: the last thing that a sync of its folder made durable, or anything that it led to since. */
export interface Binding {
  readonly versions: (Node | null)[];
  /** How many versions there were before these. */
  dropped: number;
  /** Changes acknowledged since it was touched last. */
  age: number;
}

class Folder {
  readonly names = new Map<string, Binding>();
}

/** Whole or not there: file systems keep where it leads with its name. */
class Link {
  readonly content: Content;

  constructor(target: string) {
    this.content = { digest: `-> ${target}`, bytes: Buffer.alloc(0), target };
  }
}

type Node = SimulatedFile | Folder | Link;

/** Something that is not certain: where a name leads, or what of a file's bytes is there. */
export type Uncertain =
  | { readonly kind: 'name'; readonly path: string; readonly binding: Binding; readonly choices: number }
  | { readonly kind: 'file'; readonly file: SimulatedFile };

/** How the uncertain things turned out; what is not named was kept. */
export interface Outcome {
  readonly names: ReadonlyMap<Binding, number>;
  readonly files: ReadonlyMap<SimulatedFile, Fate>;
}

/** Everything on a disk: folders with null, files with their content. */
export type Listing = Map<string, Content | null>;

/** Writeback does not wait for ever: what nobody synced for so many changes is taken to have reached the disk. */
const WRITTEN_BACK_AFTER = 2;

/**
 * A disk that keeps no promise but those it has to: bytes last when their file was synced, names when their folder was, each
 * name for itself, and a transaction of the index as a whole, in the moment in which it is made.
 */
export class SimulatedDisk {
  private readonly trace: RecordedTrace;
  private readonly root = new Folder();
  private readonly files = new Map<string, SimulatedFile>();
  /** How many sectors, or versions of names, a sync that has begun will cover. */
  private readonly begun = new Map<string, () => void>();

  constructor(trace: RecordedTrace) {
    this.trace = trace;
  }

  /** Lets one thing happen. Returns false for what changes nothing on a disk. */
  step(entry: TraceEntry): boolean {
    switch (entry.op) {
      case 'create': {
        const file = new SimulatedFile();
        this.files.set(entry.file, file);
        this.bind(entry.path, file);
        return true;
      }
      case 'open':
        this.files.set(entry.file, this.find(entry.path) as SimulatedFile);
        return false;
      case 'write':
        this.files.get(entry.file)!.write(this.trace.bytes(entry.bytes), entry.at);
        return true;
      case 'time':
        this.files.get(entry.file)!.setTime(BigInt(entry.mtimeNs));
        return true;
      case 'sync':
        this.beginSync(entry.id, this.files.get(entry.file)!);
        return false;
      case 'sync-folder':
        this.beginFolderSync(entry.id, this.folder(entry.path));
        return false;
      case 'sync-source':
        this.beginSourceSync(entry.id, this.find(entry.path));
        return false;
      case 'synced':
      case 'source-synced':
      case 'folder-synced':
        this.begun.get(entry.id)?.();
        return this.begun.delete(entry.id);
      case 'mkdir':
        if (this.find(entry.path) !== null) return false;
        this.bind(entry.path, new Folder());
        return true;
      case 'adopt':
        return this.adopt(entry.path, this.trace.bytes(entry.bytes));
      case 'symlink':
        this.bind(entry.path, new Link(entry.target));
        return true;
      case 'link':
        this.bind(entry.to, this.find(entry.path));
        return true;
      case 'rename':
        this.bind(entry.to, this.find(entry.path));
        this.bind(entry.path, null);
        return true;
      case 'unlink':
        this.bind(entry.path, null);
        return true;
      case 'index':
        this.replaceIndex(entry.path, this.trace.bytes(entry.bytes));
        return true;
      case 'edit':
        this.edit(entry.path, Buffer.from(entry.text), BigInt(entry.mtimeNs));
        return true;
      case 'done':
        this.writeBack();
        return false;
      case 'try':
        return false;
    }
  }

  uncertain(): Uncertain[] {
    const found: Uncertain[] = [];
    const files = new Set<SimulatedFile>();
    const visit = (folder: Folder, path: string): void => {
      for (const [name, binding] of folder.names) {
        const at = path === '' ? name : `${path}/${name}`;
        const versions = new Set(binding.versions);
        if (versions.size > 1) found.push({ kind: 'name', path: at, binding, choices: binding.versions.length });
        for (const node of versions) {
          if (node instanceof Folder) visit(node, at);
          else if (node instanceof SimulatedFile && node.isPending && !files.has(node)) {
            files.add(node);
            found.push({ kind: 'file', file: node });
          }
        }
      }
    };
    visit(this.root, '');
    return found;
  }

  listing({ names, files }: Outcome): Listing {
    const listing: Listing = new Map();
    const visit = (folder: Folder, path: string): void => {
      for (const [name, binding] of folder.names) {
        const at = path === '' ? name : `${path}/${name}`;
        const node = binding.versions[names.get(binding) ?? binding.versions.length - 1];
        if (node instanceof Folder) {
          listing.set(at, null);
          visit(node, at);
        } else if (node instanceof Link) listing.set(at, node.content);
        else if (node) listing.set(at, node.content(files.get(node) ?? 'kept'));
      }
    };
    visit(this.root, '');
    return listing;
  }

  private beginSync(id: string, file: SimulatedFile): void {
    const sectors = file.pendingSectors;
    this.begun.set(id, () => file.settle(Math.min(sectors, file.pendingSectors)));
  }

  private beginSourceSync(id: string, file: Node | null): void {
    if (!(file instanceof SimulatedFile)) return;
    const version = file.version;
    this.begun.set(id, () => {
      if (file.version === version) file.settle();
    });
  }

  private beginFolderSync(id: string, folder: Folder | null): void {
    if (folder === null) return;
    const covered = [...folder.names].map(([name, binding]) => ({ name, binding, last: lastOf(binding) }));
    this.begun.set(id, () => {
      for (const { name, binding, last } of covered) settle(folder, name, binding, last);
    });
  }

  private adopt(path: string, bytes: Buffer): boolean {
    if (this.find(path) !== null) return false;
    const file = new SimulatedFile();
    file.replace(bytes);
    this.bind(path, file);
    return true;
  }

  /**
   * A user's edit of a mounted folder, which no program has synced: it is there as a whole, or what was there before. That it may be
   * torn, too, is the user's own risk until a mount commits it.
   */
  private edit(path: string, bytes: Buffer, mtimeNs: bigint): void {
    const there = this.find(path);
    if (there instanceof SimulatedFile) return there.edit(bytes, mtimeNs);
    const file = new SimulatedFile();
    file.replace(bytes);
    file.setTime(mtimeNs);
    this.bind(path, file);
  }

  private replaceIndex(path: string, bytes: Buffer): void {
    const there = this.find(path);
    if (there instanceof SimulatedFile) return there.replace(bytes);
    const file = new SimulatedFile();
    file.replace(bytes);
    this.bind(path, file);
  }

  private writeBack(): void {
    const visit = (folder: Folder): void => {
      for (const [name, binding] of folder.names) {
        if (binding.versions.length > 1 && ++binding.age > WRITTEN_BACK_AFTER) settle(folder, name, binding, lastOf(binding));
        const node = binding.versions.at(-1);
        if (node instanceof Folder) visit(node);
        else if (node instanceof SimulatedFile && node.isPending && ++node.age > WRITTEN_BACK_AFTER) node.settle();
      }
    };
    visit(this.root);
  }

  private bind(path: string, node: Node | null): void {
    const folder = this.folderFor(dirname(path));
    const binding = folder.names.get(basename(path));
    if (binding === undefined) folder.names.set(basename(path), { versions: [null, node], dropped: 0, age: 0 });
    else {
      binding.versions.push(node);
      binding.age = 0;
    }
  }

  /** A user's edit comes with the folders that it takes. */
  private folderFor(path: string): Folder {
    const there = this.folder(path);
    if (there !== null) return there;
    const made = new Folder();
    this.bind(path, made);
    return made;
  }

  private folder(path: string): Folder | null {
    const node = path === '.' || path === '' ? this.root : this.find(path);
    return node instanceof Folder ? node : null;
  }

  private find(path: string): Node | null {
    return this.folder(dirname(path))?.names.get(basename(path))?.versions.at(-1) ?? null;
  }
}

/** The number of a name's last version, counted from its first. */
function lastOf(binding: Binding): number {
  return binding.dropped + binding.versions.length - 1;
}

/** What a name leads to is certain up to version `last`. */
function settle(folder: Folder, name: string, binding: Binding, last: number): void {
  const certain = last - binding.dropped;
  if (certain > 0) {
    binding.versions.splice(0, certain);
    binding.dropped = last;
  }
  if (binding.versions.length === 1 && binding.versions[0] === null) folder.names.delete(name);
}
