"""The directory's file, opened by the engine of central stores, and its own types of readers and writers."""

from typing import Final, TypeAlias

import sqlite
from database import database
from database.database import Schema
from directory.changes import Change
from directory.name_search import FUNCTIONS
from migrations import engine

Reader: TypeAlias = database.Reader
Writer: TypeAlias = database.Writer[Change]
Database: TypeAlias = database.Database[Change]

SCHEMA: Final = Schema("directory", sqlite.DIRECTORY_APPLICATION_ID, engine.CENTRAL_FOLDER, FUNCTIONS)
