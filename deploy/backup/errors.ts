/** What can be wrong with a backup, a restore or a purge, apart from a journal that cannot be reached. */
export type BackupFault =
  /** A file of the backup is damaged or missing; the message names it, and the frame. */
  | "damaged"
  | "not_a_backup"
  /** Written by a later version. */
  | "version"
  /** The stream under a journal's name has another id. */
  | "journal_changed"
  /** The journal ends before the backup does. */
  | "journal_shorter"
  /** The journal's frames are not those of the backup. */
  | "history_differs"
  /** Frames were purged before they were copied. */
  | "gap"
  /** No journals, or not all shards of them. */
  | "no_journals"
  /** Nothing to begin from: a purged journal without a snapshot that fits. */
  | "no_snapshot"
  /** Nothing stands before the point in time. */
  | "too_early"
  /** The folder to write into holds something, or another process works there. */
  | "in_use"
  /** The server took a frame otherwise than it was given. */
  | "not_written";

export class BackupError extends Error {
  override name = "BackupError";
  readonly fault: BackupFault;
  constructor(fault: BackupFault, message: string) {
    super(message);
    this.fault = fault;
  }
}
