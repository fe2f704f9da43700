"""Where rows lie and how they are read: layouts, files, encodings, and tables at run time."""
