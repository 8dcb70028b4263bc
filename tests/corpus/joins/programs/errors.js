// The ways in which Node speaks of an error. The first argument says which.
console.error("before");
function fail() { throw new TypeError("weights is not iterable\nsecond line"); }
function wrapped() { try { fail(); } catch (cause) { throw new Error("step 3 failed", { cause }); } }
({
  uncaught: () => fail(),
  cause: () => wrapped(),
  printed: () => { try { fail(); } catch (error) { console.error(error); } console.error("going on"); },
  rejected: () => Promise.reject(new RangeError("lr")),
  thrown: () => { throw "only text"; },
})[process.argv[2]]();
