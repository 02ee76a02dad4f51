// The model of echo.mjs as one that knows nothing of changes in place.
import echo from './echo.mjs';

export default { ...echo, update: undefined };
