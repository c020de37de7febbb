// Files out of drops and choosers, and the labels of those that lie in folders.

const SOUND = /\.(wav|wave|w64|rf64|flac|mp3|mp2|ogg|oga|opus|aif|aiff|aifc|au|snd|caf|m4a|aac|mp4|webm|sph|voc)$/i;
const isSound = (file) => SOUND.test(file.name) || file.type.startsWith("audio/");
const hidden = (path) => path.split("/").some((part) => part.startsWith("."));

/** Files of a folder chooser: each with the name of the folder that it lies in as its label. */
export function labelled(files) {
  const found = [];
  let loose = 0;
  for (const { file, path } of files) {
    if (!isSound(file) || hidden(path)) continue;
    const parts = path.split("/");
    if (parts.length >= 3) found.push({ file, label: parts.at(-2) });
    else loose++;
  }
  return { found, loose };
}

export const ofFolderInput = (input) => [...input.files].map((file) => ({ file, path: file.webkitRelativePath }));

/** What was dropped: {files: [{file, path}], folder: whether a folder was among it}. */
export async function dropped(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.some((entry) => entry.isDirectory)) {
    return { files: [...transfer.files].map((file) => ({ file, path: file.name })), folder: false };
  }
  const files = [];
  const walk = async (entry) => {
    if (entry.isFile) {
      const file = await new Promise((done, failed) => entry.file(done, failed));
      files.push({ file, path: entry.fullPath.replace(/^\//, "") });
      return;
    }
    const reader = entry.createReader();
    for (;;) {
      const some = await new Promise((done, failed) => reader.readEntries(done, failed));
      if (!some.length) return;
      for (const one of some) await walk(one);
    }
  };
  for (const entry of entries) await walk(entry);
  return { files, folder: true };
}
