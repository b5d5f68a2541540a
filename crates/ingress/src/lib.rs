//! From a platform's socket to the bus: the publish window and the spool on disk.
