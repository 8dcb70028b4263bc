import java.util.logging.*;

/** The ways in which Java speaks of an exception. The first argument says which. */
public class Errors {
    static int fail(int number) { return 1 / number; }
    static void wrapped() {
        try { fail(0); } catch (ArithmeticException e) {
            RuntimeException outer = new IllegalStateException("step 3 failed\nin epoch 2", e);
            outer.addSuppressed(new java.io.IOException("closing failed"));
            throw outer;
        }
    }
    static void deep(int n) { deep(n + 1); }
    public static void main(String[] args) throws Exception {
        System.err.println("before");
        switch (args[0]) {
            case "uncaught": wrapped(); break;
            case "thread": {
                Thread thread = new Thread(() -> wrapped(), "worker-1");
                thread.start();
                thread.join();
                break;
            }
            case "printed":
                try { wrapped(); } catch (Exception e) { e.printStackTrace(); }
                break;
            case "logged":
                try { wrapped(); } catch (Exception e) { Logger.getLogger("train").log(Level.SEVERE, "step failed", e); }
                break;
            case "empty": throw new NullPointerException();
        }
        System.err.println("going on");
    }
}
