"""Images packed in tar files (shards): where each lies, in which order they are read, how they come here."""
