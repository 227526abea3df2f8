"""Pages of results, each in one file that opens from a disk.

- `remains`: a result folder, read as far as it is there.
- `material`: a result folder and its audio, read as far as they are there.
- `excerpts`: the stretches of the song that can be heard, and their files inside the page.
- `pictures`: spectrograms as small pictures.
- `sentences`: what was done to a track, in a plain sentence.
- `stages`: the console and what each round of pruning left of it, drawn.
- `runs`: in how many runs of a dataset's build a processor was found.
- `content`: everything that the page shows, as JSON.
- `document`: a page as one HTML file, below a size.
- `write`: the page of a result.
- `comparison`, `comparison_content`, `comparison_audio`, `comparison_write`: several results of a song side by side.
- `song_rows`, `songs_page`: a table of many songs and their statistics; the index page of a dataset.
- `stem_material`, `stem_write`: a demixed song, with a fader and a spectrogram a stem.
- `web_audio`: a found graph as a description that the page's audio engine builds its console from.
"""
