import java.util.logging.Logger;

/** Logs as java.util.logging does by default. */
class Logs {
    public static void main(String[] args) {
        Logger log = Logger.getLogger("train.Loop");
        log.info("loaded 442 rows");
        log.warning("loss grows");
        log.severe("no data in /data/train.csv");
    }
}
