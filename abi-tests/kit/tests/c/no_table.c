/* A library that does not know the kit. */
int nothing(void);
int nothing(void) { return 0; }
