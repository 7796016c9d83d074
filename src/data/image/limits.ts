/** Larger pictures are refused: their header alone could ask for gigabytes. The limit is Pillow's. */
export const DEFAULT_MAX_PIXELS = 178_956_970
