/** What to do about each code with which a transfer can end; the same advice as in the README. */

export const ADVICE = {
  Unaddressed: 'Set the metadata mailbox and messageid or eventid, and upload the file again.',
  ContradictoryAddress: 'Correct what the message names, and upload the file again.',
  MailboxNotAllowed: 'An administrator adds the mailbox to the app setting ALLOWED_MAILBOXES.',
  UnsupportedBlob: 'Upload the file as a block blob, in another tier.',
  AttachmentTooLarge: 'Send a smaller file, or a link to it.',
  MailboxLimitExceeded: 'The administrator of the mailbox raises its message size limit.',
  ItemNotFound: 'Check the mailbox and the id. Ids change when an item moves.',
  NotADraft: 'Send the file to a draft, and send the message when it has the file.',
  PermissionMissing: 'Grant the app Mail.ReadWrite or Calendars.ReadWrite for this mailbox.',
  UploadHostNotAllowed: 'If the host is Microsoft’s, add it to the app setting UPLOAD_HOSTS.',
  UploadSessionsUnavailable: 'This cloud takes files under 3 MB only. Send smaller files.',
  GraphRefused: 'Change what Graph’s message names.',
  DeadlineExceeded: 'See what the last error was, then try again.',
  OutcomeUnknown: 'Look at the item in Outlook before you try again: the file may be there.',
  BlobDeleted: 'Upload the file again.',
  StorageUnavailable: 'Check the app’s role and network on the storage account.',
  InternalError: 'Report it, with the log entries of this transfer.',
  Removed: 'Try again, if the removal was a mistake.',
  Superseded: 'Nothing: the newer content has a transfer of its own.',
};
