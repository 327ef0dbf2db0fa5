/* A library of somebody who has not heard of the kit. */
int nothing(void);
int nothing(void) { return 0; }
